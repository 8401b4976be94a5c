#pragma once
#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tessera/config/type.hpp"

namespace tessera::config {

/// What a row of a key table says besides name and member. `range` is for members whose type is not given explicitly.
struct Key {
  std::string unit = {};
  Range range = {};
  std::string help = {};
  bool required = false;
};

/// The type that a member has unless a row says otherwise.
template <class M>
Type<M> default_type(const Range& range) {
  if constexpr (std::same_as<M, bool>) {
    return boolean();
  } else if constexpr (std::integral<M>) {
    return integer<M>(range);
  } else if constexpr (std::same_as<M, double>) {
    return real(range);
  } else if constexpr (std::same_as<M, std::string>) {
    return text();
  } else if constexpr (requires {
                         typename M::value_type;
                         requires std::same_as<M, std::optional<typename M::value_type>>;
                       }) {
    return optional(default_type<typename M::value_type>(range));
  } else {
    return list(default_type<typename M::value_type>(range));
  }
}

namespace detail {

/// For every row the entry of the node that belongs to it; unknown keys, keys given twice (with and without underscore)
/// and required keys that are missing become problems. False if the node is no map.
bool match_rows(const Node& node, const std::string& key, const std::vector<KeyInfo>& rows, Report& report,
                std::vector<const Node::Entry*>& entries);
std::string child_key(const std::string& key, const std::string& name);
/// Adds the problems that `check` throws, with the positions of the keys they name.
void run_check(const Node& node, const std::string& key, Report& report, const std::function<void()>& check);

}  // namespace detail

/// The key table of a plain struct:
///
///     Section<IOParameters>("IOParameters", "The analog matrix-vector product.")
///         .field("inp_bound", &IOParameters::inp_bound, {.help = "DAC clip"})
///         .field("mv_type", &IOParameters::mv_type, choice<AnalogMVType>({...}), {.help = "pass structure"})
///         .unused("backward", "training only")
///         .check([](const IOParameters& p) { validate(p); });
///
/// Units are SI symbols; "1" and "" mean none. A leading underscore of a key in a file is ignored.
template <class T>
class Section {
 public:
  /// `name` is unique among all sections of a configuration: it names the definition in the schema.
  Section(std::string name, std::string help) : name_(std::move(name)), help_(std::move(help)) {}

  template <class M>
  Section& field(std::string name, M T::*member, Type<std::type_identity_t<M>> type, Key key = {}) {
    add(
        {std::move(name), type.info, std::move(key.unit), std::move(key.help), std::nullopt, key.required, {}},
        [member, read = type.read](const Node& node, const std::string& path, T& value, Report& report) {
          read(node, path, value.*member, report);
        },
        [member, write = type.write](const T& value) { return write(value.*member); });
    return *this;
  }
  template <class M>
  Section& field(std::string name, M T::*member, Key key = {}) {
    Type<M> type = default_type<M>(key.range);
    return field(std::move(name), member, std::move(type), std::move(key));
  }
  /// For a value inside a member: `access` is a generic lambda, [](auto& p) -> auto& { return p.tile.forward; }.
  template <class Access>
  requires std::invocable<Access, T&> Section& field(
      std::string name, Access access, Type<std::remove_reference_t<std::invoke_result_t<Access, T&>>> type,
      Key key = {}) {
    add(
        {std::move(name), type.info, std::move(key.unit), std::move(key.help), std::nullopt, key.required, {}},
        [access, read = type.read](const Node& node, const std::string& path, T& value, Report& report) {
          read(node, path, access(value), report);
        },
        [access, write = type.write](const T& value) { return write(access(value)); });
    return *this;
  }
  /// For a value behind functions.
  template <class V>
  Section& property(std::string name, std::function<V(const T&)> get, std::function<void(T&, V)> set, Type<V> type,
                    Key key = {}) {
    add(
        {std::move(name), type.info, std::move(key.unit), std::move(key.help), std::nullopt, key.required, {}},
        [get, set, read = type.read](const Node& node, const std::string& path, T& value, Report& report) {
          V inner = get(value);
          read(node, path, inner, report);
          set(value, std::move(inner));
        },
        [get, write = type.write](const T& value) { return write(get(value)); });
    return *this;
  }
  /// A key that changes the struct in its own way and is not written: "start from this preset". Rows act in the order
  /// of the table, so it comes first.
  Section& action(std::string name, std::shared_ptr<const TypeInfo> info, Key key,
                  std::function<void(const Node&, const std::string&, T&, Report&)> act) {
    add({std::move(name), std::move(info), std::move(key.unit), std::move(key.help), std::nullopt, key.required, {}},
        std::move(act), nullptr);
    return *this;
  }
  /// A key whose map holds further members of the same struct.
  Section& group(std::string name, const Type<T>& inner, bool nullable = false) {
    return group(std::move(name), inner, Key{}, nullable);
  }
  Section& group(std::string name, const Type<T>& inner, Key key, bool nullable = false) {
    auto info = std::make_shared<TypeInfo>(*inner.info);
    info->nullable = nullable;
    add(
        {std::move(name), info, std::move(key.unit), std::move(key.help), std::nullopt, key.required, {}},
        [inner, nullable](const Node& node, const std::string& path, T& value, Report& report) {
          if (!(nullable && node.is_null())) inner.read(node, path, value, report);
        },
        inner.write);
    return *this;
  }
  /// A key that is accepted with any value and has no effect; it is reported as unused.
  Section& unused(std::string name, std::string why) {
    add(
        {std::move(name), std::make_shared<TypeInfo>(), {}, {}, std::nullopt, false, why},
        [why](const Node&, const std::string& path, T&, Report& report) { report.unused(path, why); }, nullptr);
    return *this;
  }
  /// Runs after all keys were read without problems; throws ConfigError with keys relative to this section.
  Section& check(std::function<void(const T&)> function) {
    rows_->check = std::move(function);
    return *this;
  }

  /// The finished type. `example` supplies the defaults that the documentation shows.
  Type<T> type(const T& example = T{}) const {
    auto info = std::make_shared<TypeInfo>();
    info->kind = TypeInfo::Kind::section;
    info->name = name_;
    info->help = help_;
    for (std::size_t i = 0; i < rows_->match.size(); ++i) {
      KeyInfo key = rows_->match[i];
      const bool shows_own = key.type->kind == TypeInfo::Kind::section && !key.type->nullable;
      if (rows_->write[i] && !shows_own && !key.required) key.default_value = rows_->write[i](example);
      info->keys.push_back(std::move(key));
    }
    auto rows = std::make_shared<const Rows>(*rows_);
    return {info,
            [rows](const Node& node, const std::string& key, T& value, Report& report) {
              rows->read_all(node, key, value, report);
            },
            [rows](const T& value) {
              Node node = Node::map();
              for (std::size_t i = 0; i < rows->match.size(); ++i)
                if (rows->write[i]) node.entries.push_back({rows->match[i].name, rows->write[i](value), {}});
              return node;
            }};
  }
  operator Type<T>() const { return type(); }  // NOLINT(google-explicit-constructor): a table is a type

 private:
  using Read = std::function<void(const Node&, const std::string&, T&, Report&)>;
  using Write = std::function<Node(const T&)>;
  struct Rows {
    std::vector<KeyInfo> match;
    std::vector<Read> read;
    std::vector<Write> write;
    std::function<void(const T&)> check;

    void read_all(const Node& node, const std::string& key, T& value, Report& report) const {
      const std::size_t before = report.problems().size();
      std::vector<const Node::Entry*> entries;
      if (!detail::match_rows(node, key, match, report, entries)) return;
      for (std::size_t i = 0; i < match.size(); ++i)
        if (entries[i] != nullptr) read[i](entries[i]->value, detail::child_key(key, match[i].name), value, report);
      if (check && report.problems().size() == before) detail::run_check(node, key, report, [&] { check(value); });
    }
  };

  void add(KeyInfo info, Read read, Write write) {
    rows_->match.push_back(std::move(info));
    rows_->read.push_back(std::move(read));
    rows_->write.push_back(std::move(write));
  }

  std::string name_;
  std::string help_;
  std::shared_ptr<Rows> rows_ = std::make_shared<Rows>();
};

/// Reads a whole value of type T over `start`. Throws ConfigError with every problem.
template <class T>
T read(const Node& node, const Type<T>& type, T start = {}, Report report = {}) {
  type.read(node, {}, start, report);
  report.throw_if_any();
  return start;
}

}  // namespace tessera::config
