#pragma once
#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tessera/config/type.hpp"

namespace tessera::config {

/// What a row of a key table says besides name and member. `range` is for members whose type is not given explicitly.
struct Key {
  std::string_view unit = {};
  Range range = {};
  std::string_view help = {};
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

std::string child_key(const std::string& key, const std::string& name);
/// Adds the problems that `check` throws, with the positions of the keys they name.
void run_check(const Node& node, const std::string& key, Report& report, const std::function<void()>& check);

/// One row of a table. Structs and members are seen without their types, so that the code of a table, of which there is
/// one for every struct, is small; the functions of a row know them.
struct Row {
  KeyInfo info;
  std::shared_ptr<const void> how;
  void (*read)(const void* how, const Node& node, const std::string& key, void* value, Report& report) = nullptr;
  Node (*write)(const void* how, const void* value) = nullptr;  ///< null: not written
};

/// What the documentation says of a row.
KeyInfo describe_row(std::string_view name, std::shared_ptr<const TypeInfo> type, const Key& key);

struct Rows {
  std::vector<Row> rows;
  std::function<void(const void*)> check;

  /// For every row the entry of the node that belongs to it; unknown keys, keys given twice (with and without
  /// underscore) and required keys that are missing become problems. The check runs if there are none.
  void read(const Node& node, const std::string& key, void* value, Report& report) const;
  Node write(const void* value) const;
  /// With the defaults of `example`.
  std::shared_ptr<const TypeInfo> describe(const std::string& name, const std::string& help, const void* example) const;
};

struct AnyStruct;
/// How a member is read and written, whatever struct it is of.
template <class M>
struct Member {
  Type<M> type;
  M AnyStruct::*member;
};

/// A row of functions.
template <class T>
struct Functions {
  std::function<void(const Node&, const std::string&, T&, Report&)> read;
  std::function<Node(const T&)> write;
};

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
  Section& field(std::string_view name, M T::*member, Type<std::type_identity_t<M>> type, const Key& key = {}) {
    using Member = detail::Member<M>;
    rows_->rows.push_back(
        {detail::describe_row(name, type.info, key),
         std::make_shared<const Member>(Member{type, reinterpret_cast<M detail::AnyStruct::*>(member)}),
         [](const void* how, const Node& node, const std::string& path, void* value, Report& report) {
           const Member& of = *static_cast<const Member*>(how);
           of.type.read(node, path, static_cast<T*>(value)->*reinterpret_cast<M T::*>(of.member), report);
         },
         [](const void* how, const void* value) {
           const Member& of = *static_cast<const Member*>(how);
           return of.type.write(static_cast<const T*>(value)->*reinterpret_cast<M T::*>(of.member));
         }});
    return *this;
  }
  template <class M>
  Section& field(std::string_view name, M T::*member, const Key& key = {}) {
    Type<M> type = default_type<M>(key.range);
    return field(name, member, std::move(type), key);
  }
  /// For a value inside a member: `access` is a generic lambda, [](auto& p) -> auto& { return p.tile.forward; }.
  template <class Access>
  requires std::invocable<Access, T&> Section& field(
      std::string_view name, Access access, Type<std::remove_reference_t<std::invoke_result_t<Access, T&>>> type,
      const Key& key = {}) {
    return add(detail::describe_row(name, type.info, key),
               {[access, read = type.read](const Node& node, const std::string& path, T& value, Report& report) {
                  read(node, path, access(value), report);
                },
                [access, write = type.write](const T& value) { return write(access(value)); }});
  }
  /// For a value behind functions.
  template <class V>
  Section& property(std::string_view name, std::function<V(const T&)> get, std::function<void(T&, V)> set, Type<V> type,
                    const Key& key = {}) {
    return add(detail::describe_row(name, type.info, key),
               {[get, set, read = type.read](const Node& node, const std::string& path, T& value, Report& report) {
                  V inner = get(value);
                  read(node, path, inner, report);
                  set(value, std::move(inner));
                },
                [get, write = type.write](const T& value) { return write(get(value)); }});
  }
  /// A key that changes the struct in its own way and is not written: "start from this preset". Rows act in the order
  /// of the table, so it comes first.
  Section& action(std::string_view name, std::shared_ptr<const TypeInfo> info, const Key& key,
                  std::function<void(const Node&, const std::string&, T&, Report&)> act) {
    return add(detail::describe_row(name, std::move(info), key), {std::move(act), nullptr});
  }
  /// A key whose map holds further members of the same struct.
  Section& group(std::string_view name, const Type<T>& inner, bool nullable = false) {
    return group(name, inner, Key{}, nullable);
  }
  Section& group(std::string_view name, const Type<T>& inner, const Key& key, bool nullable = false) {
    auto info = std::make_shared<TypeInfo>(*inner.info);
    info->nullable = nullable;
    return add(detail::describe_row(name, info, key),
               {[inner, nullable](const Node& node, const std::string& path, T& value, Report& report) {
                  if (!(nullable && node.is_null())) inner.read(node, path, value, report);
                },
                inner.write});
  }
  /// A key that is accepted with any value and has no effect; it is reported as unused.
  Section& unused(std::string_view name, const std::string& why) {
    KeyInfo info = detail::describe_row(name, std::make_shared<TypeInfo>(), {});
    info.unused_because = why;
    return add(
        std::move(info),
        {[why](const Node&, const std::string& path, T&, Report& report) { report.unused(path, why); }, nullptr});
  }
  /// Runs after all keys were read without problems; throws ConfigError with keys relative to this section.
  Section& check(std::function<void(const T&)> function) {
    rows_->check = [function = std::move(function)](const void* value) { function(*static_cast<const T*>(value)); };
    return *this;
  }

  /// The finished type. `example` supplies the defaults that the documentation shows.
  Type<T> type(const T& example = T{}) const {
    auto rows = std::make_shared<const detail::Rows>(*rows_);
    return {rows->describe(name_, help_, &example),
            [rows](const Node& node, const std::string& key, T& value, Report& report) {
              rows->read(node, key, &value, report);
            },
            [rows](const T& value) { return rows->write(&value); }};
  }
  operator Type<T>() const { return type(); }  // NOLINT(google-explicit-constructor): a table is a type

 private:
  using Functions = detail::Functions<T>;

  Section& add(KeyInfo info, Functions functions) {
    const bool written = functions.write != nullptr;
    rows_->rows.push_back({std::move(info), std::make_shared<const Functions>(std::move(functions)), &read_row,
                           written ? &write_row : nullptr});
    return *this;
  }
  static void read_row(const void* how, const Node& node, const std::string& path, void* value, Report& report) {
    static_cast<const Functions*>(how)->read(node, path, *static_cast<T*>(value), report);
  }
  static Node write_row(const void* how, const void* value) {
    return static_cast<const Functions*>(how)->write(*static_cast<const T*>(value));
  }

  std::string name_;
  std::string help_;
  std::shared_ptr<detail::Rows> rows_ = std::make_shared<detail::Rows>();
};

/// Reads a whole value of type T over `start`. Throws ConfigError with every problem.
template <class T>
T read(const Node& node, const Type<T>& type, T start = {}, Report report = {}) {
  type.read(node, {}, start, report);
  report.throw_if_any();
  return start;
}

}  // namespace tessera::config
