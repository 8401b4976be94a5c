#pragma once
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "tessera/config/node.hpp"
#include "tessera/config/report.hpp"
#include "tessera/core/range.hpp"

/// How C++ values are read from nodes, written to them and described. One description per key drives reading, the
/// resolved configuration, the JSON Schema and the documentation page; see section.hpp.
namespace tessera::config {

using tessera::Range;

struct KeyInfo;

/// Describes a type to writers of schemas and documentation.
struct TypeInfo {
  enum class Kind { boolean, integer, real, text, path, choice, list, map, section, variant, anything };
  Kind kind = Kind::anything;
  bool nullable = false;
  Range range;                              ///< integer, real
  std::vector<std::string> words;           ///< choice: canonical, in order
  std::vector<std::string> other_words;     ///< choice: also accepted
  std::size_t min_size = 0;                 ///< list
  bool scalar_allowed = false;              ///< list, section: one value of `element` is allowed in its place
  std::shared_ptr<const TypeInfo> element;  ///< list, map; section: the value that may stand in its place
  std::shared_ptr<const TypeInfo> by_name;  ///< list: a map of names to this is allowed in its place
  std::string name;                         ///< section, variant: unique
  std::string help;                         ///< section, variant
  std::vector<KeyInfo> keys;                ///< section
  std::vector<std::pair<std::string, std::shared_ptr<const TypeInfo>>> alternatives;  ///< variant: type -> section
};

/// One row of a key table.
struct KeyInfo {
  std::string name;
  std::shared_ptr<const TypeInfo> type;
  std::string unit;
  std::string help;
  std::optional<Node> default_value;  ///< none for sections, which show their own
  bool required = false;
  std::string unused_because;  ///< accepted and without effect
};

/// "number > 0", "one of NONE, ABS_MAX", "list of IOParameters", ...
std::string type_text(const TypeInfo& info);

namespace detail {
/// A type as it is described, read and written, for values that are seen without their C++ type: what holds for all types
/// is compiled once. `how` is what the two functions need to know.
struct AnyType {
  std::shared_ptr<const TypeInfo> info;
  std::shared_ptr<const void> how;
  void (*read_any)(const void* how, const Node& node, const std::string& key, void* value, Report& report) = nullptr;
  Node (*write_any)(const void* how, const void* value) = nullptr;
};
}  // namespace detail

/// A type as it is described, read and written.
template <class T>
struct Type : detail::AnyType {
  Type() = default;
  explicit Type(detail::AnyType any) : AnyType(std::move(any)) {}
  /// From functions (const Node&, const std::string& key, T&, Report&) and (const T&) -> Node.
  template <class Read, class Write>
  requires std::invocable<const Write&, const T&> Type(const std::shared_ptr<const TypeInfo>& described, Read read,
                                                       Write write) {
    struct Functions {
      Read read;
      Write write;
    };
    info = described;
    how = std::make_shared<const Functions>(Functions{std::move(read), std::move(write)});
    read_any = [](const void* functions, const Node& node, const std::string& key, void* value, Report& report) {
      static_cast<const Functions*>(functions)->read(node, key, *static_cast<T*>(value), report);
    };
    write_any = [](const void* functions, const void* value) {
      return static_cast<const Functions*>(functions)->write(*static_cast<const T*>(value));
    };
  }
  /// Written as another type of the same values is.
  template <class Read>
  Type(const std::shared_ptr<const TypeInfo>& described, Read read, const Type& written)
      : Type(described, std::move(read), [written](const T& value) { return written.write(value); }) {}

  /// Overwrites what the node mentions and leaves the rest of `value` as it is, so a preset, a base or a default shows
  /// through; on a problem it reports and leaves `value` alone.
  void read(const Node& node, const std::string& key, T& value, Report& report) const {
    read_any(how.get(), node, key, &value, report);
  }
  Node write(const T& value) const { return write_any(how.get(), &value); }
};

Type<bool> boolean();
Type<double> real(Range range = {});
Type<std::string> text();
/// A path; relative ones are taken relative to the directory of the file that names them (the working directory for
/// --set) and stored that way, absolute, so that the value does not depend on where it is used.
Type<std::string> path();
/// Null is the empty path.
Type<std::string> path_or_null();
/// Any node, unread: checked later by whoever knows what it is. `info` is what the documentation shows.
Type<Node> anything(const std::shared_ptr<const TypeInfo>& info = std::make_shared<const TypeInfo>());

namespace detail {
std::shared_ptr<const AnyType> shared(const AnyType& type);
std::shared_ptr<const TypeInfo> nullable(const TypeInfo& info);
std::shared_ptr<const TypeInfo> list_of(const AnyType& element, std::size_t min_size);
std::shared_ptr<const TypeInfo> map_of(const AnyType& element);

Type<std::int64_t> signed_integer(Range range, Range storage);
Type<std::uint64_t> unsigned_integer(Range range, Range storage);

/// Words for values that are seen as bytes.
struct Words {
  std::size_t size;  ///< bytes of a value
  std::vector<std::string> names = {};
  std::vector<std::vector<std::string>> also = {};
  std::vector<std::vector<unsigned char>> values = {};

  void add(const std::string& name, const std::vector<std::string>& further, const void* value);
};
AnyType choice_of_words(Words words);
void expect_list(const Node& node, const std::string& key, const TypeInfo& info, Report& report, bool& ok);
void read_map_entries(const Node& node, const std::string& key, Report& report,
                      const std::function<void(const Node::Entry&, const std::string&)>& read_entry);
/// Finds the alternative named by `type:` (or by a bare word); the count of alternatives if there is none.
std::size_t read_alternative(const Node& node, const std::string& key, const TypeInfo& info, std::size_t current,
                             Report& report);
/// False, with a problem, if `info` is a variant and the node does not say which alternative it wants.
bool chooses_alternative(const Node& node, const std::string& key, const TypeInfo& info, Report& report);
std::string index_key(const std::string& key, std::size_t index);
}  // namespace detail

template <std::integral I>
requires(!std::same_as<I, bool>) Type<I> integer(Range range = {}) {
  using Wide = std::conditional_t<std::is_signed_v<I>, std::int64_t, std::uint64_t>;
  const Range storage = Range::between(static_cast<double>(std::numeric_limits<I>::min()),
                                       static_cast<double>(std::numeric_limits<I>::max()));
  Type<Wide> wide;
  if constexpr (std::is_signed_v<I>)
    wide = detail::signed_integer(range, storage);
  else
    wide = detail::unsigned_integer(range, storage);
  if constexpr (std::same_as<I, Wide>) {
    return wide;
  } else {
    return {wide.info,
            [wide](const Node& node, const std::string& key, I& value, Report& report) {
              Wide read = static_cast<Wide>(value);
              wide.read(node, key, read, report);
              value = static_cast<I>(read);
            },
            [wide](const I& value) { return wide.write(static_cast<Wide>(value)); }};
  }
}

/// A word for one of several values of T. Words match in any case and with or without underscores (ABS_MAX, AbsMax),
/// also behind the name of their enumeration (NoiseManagementType.ABS_MAX). `also` lists further spellings.
template <class T>
struct Choice {
  std::string word;
  T value;
  std::vector<std::string> also = {};
};
template <class T>
requires std::has_unique_object_representations_v<T> Type<T> choice(const std::vector<Choice<T>>& choices) {
  detail::Words words{.size = sizeof(T)};
  for (const Choice<T>& c : choices) words.add(c.word, c.also, &c.value);
  return Type<T>(detail::choice_of_words(std::move(words)));
}

/// Null turns the value off. A value that is on again after being off starts from its default.
template <class T>
Type<std::optional<T>> optional(const Type<T>& type) {
  return Type<std::optional<T>>(
      {detail::nullable(*type.info), detail::shared(type),
       [](const void* how, const Node& node, const std::string& key, void* any, Report& report) {
         const auto& inner = *static_cast<const detail::AnyType*>(how);
         auto& value = *static_cast<std::optional<T>*>(any);
         if (node.is_null()) {
           value.reset();
           return;
         }
         if (!value && !detail::chooses_alternative(node, key, *inner.info, report)) return;
         if (!value) value.emplace();
         inner.read_any(inner.how.get(), node, key, &*value, report);
       },
       [](const void* how, const void* any) {
         const auto& inner = *static_cast<const detail::AnyType*>(how);
         const auto& value = *static_cast<const std::optional<T>*>(any);
         return value ? inner.write_any(inner.how.get(), &*value) : Node::null();
       }});
}

/// A list replaces the list that was there.
template <class T>
Type<std::vector<T>> list(const Type<T>& type, std::size_t min_size = 0) {
  auto info = detail::list_of(type, min_size);
  return {info,
          [type, info](const Node& node, const std::string& key, std::vector<T>& value, Report& report) {
            bool ok = true;
            detail::expect_list(node, key, *info, report, ok);
            if (!ok) return;
            std::vector<T> read(node.items.size());
            for (std::size_t i = 0; i < read.size(); ++i) {
              T element{};
              type.read(node.items[i], detail::index_key(key, i), element, report);
              read[i] = std::move(element);
            }
            value = std::move(read);
          },
          [type](const std::vector<T>& value) {
            Node node = Node::list();
            for (const T& element : value) node.items.push_back(type.write(element));
            return node;
          }};
}

/// A list that may be written as its single element.
template <class T>
Type<std::vector<T>> one_or_list(Type<T> type, std::size_t min_size = 0) {
  Type<std::vector<T>> several = list(type, min_size);
  auto info = std::make_shared<TypeInfo>(*several.info);
  info->scalar_allowed = true;
  return {info,
          [several](const Node& node, const std::string& key, std::vector<T>& value, Report& report) {
            if (node.is_scalar()) {
              Node wrapped = Node::list({node});
              wrapped.position = node.position;
              several.read(wrapped, key, value, report);
            } else {
              several.read(node, key, value, report);
            }
          },
          several};
}

/// Words to values, in the order of the file. Entries with a name that is already there are read over it.
template <class T>
Type<std::vector<std::pair<std::string, T>>> map_of(Type<T> type) {
  using Pairs = std::vector<std::pair<std::string, T>>;
  return {detail::map_of(type),
          [type](const Node& node, const std::string& key, Pairs& value, Report& report) {
            detail::read_map_entries(node, key, report, [&](const Node::Entry& entry, const std::string& entry_key) {
              auto at = value.begin();
              while (at != value.end() && at->first != entry.key) ++at;
              if (at == value.end()) at = value.emplace(value.end(), entry.key, T{});
              type.read(entry.value, entry_key, at->second, report);
            });
          },
          [type](const Pairs& value) {
            Node node = Node::map();
            for (const auto& [name, element] : value) node.entries.push_back({name, type.write(element), {}});
            return node;
          }};
}

/// One alternative of a variant: its name in `type:` and the type of its struct (a section).
template <class Alternative>
struct Named {
  std::string name;
  Type<Alternative> type;
};

/// A std::variant chosen by the key `type`; the other keys are those of the alternative. A bare word means the
/// alternative with its defaults. Without `type` the keys are read over the alternative that is already chosen; in an
/// optional that is off, `type` is required. Another `type` starts from that alternative's defaults.
template <class... Alternatives>
Type<std::variant<Alternatives...>> one_of(std::string name, std::string help, Named<Alternatives>... alternatives) {
  using Variant = std::variant<Alternatives...>;
  auto info = std::make_shared<TypeInfo>();
  info->kind = TypeInfo::Kind::variant;
  info->name = std::move(name);
  info->help = std::move(help);
  (info->alternatives.emplace_back(alternatives.name, alternatives.type.info), ...);
  using Types = std::vector<detail::AnyType>;
  auto types = std::make_shared<const Types>(Types{alternatives.type...});
  return {
      info,
      [info, types](const Node& node, const std::string& key, Variant& value, Report& report) {
        const std::size_t chosen = detail::read_alternative(node, key, *info, value.index(), report);
        if (chosen == types->size()) return;
        Node rest = node.is_map() ? node : Node::map();
        rest.position = node.position;
        rest.erase("type");
        if (chosen != value.index()) {
          constexpr Variant (*defaults[])() = {[]() -> Variant { return Alternatives{}; }...};
          value = defaults[chosen]();
        }
        const detail::AnyType& type = (*types)[chosen];
        std::visit([&](auto& alternative) { type.read_any(type.how.get(), rest, key, &alternative, report); }, value);
      },
      [info, types](const Variant& value) {
        Node node = Node::map();
        node.set("type", Node::plain(info->alternatives[value.index()].first));
        const detail::AnyType& type = (*types)[value.index()];
        Node rest =
            std::visit([&](const auto& alternative) { return type.write_any(type.how.get(), &alternative); }, value);
        for (Node::Entry& entry : rest.entries) node.entries.push_back(std::move(entry));
        return node;
      }};
}

}  // namespace tessera::config
