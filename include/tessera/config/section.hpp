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
#include "tessera/core/error.hpp"

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

/// One row of a table: a member by its place in the struct, or the struct itself (offset 0) for what is not simply one.
struct Row {
  KeyInfo info;
  AnyType type;
  std::size_t offset = 0;  ///< bytes
  bool written = true;
};

/// Rows and what they say together, seen without the type of the struct: compiled once for all tables.
struct Rows {
  std::vector<Row> rows;
  std::function<void(const void*)> check;

  void add(std::string_view name, const AnyType& type, std::size_t offset, const Key& key, bool written = true);
  void add_unused(std::string_view name, const std::string& why);
  /// The struct itself, as a type whose keys stand below `name`.
  void add_group(std::string_view name, const AnyType& inner, const Key& key, bool nullable);
  /// For every row the entry of the node that belongs to it; unknown keys, keys given twice (with and without
  /// underscore) and required keys that are missing become problems. The check runs if there are none.
  void read(const Node& node, const std::string& key, void* value, Report& report) const;
  Node write(const void* value) const;
  /// The finished type. With the defaults of `example`.
  AnyType type(const std::string& name, const std::string& help, const void* example) const;
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
  Section& field(std::string_view name, M T::*member, const Type<std::type_identity_t<M>>& type, const Key& key = {}) {
    rows_->add(name, type, offset_of(defaults_.*member), key);
    return *this;
  }
  template <class M>
  Section& field(std::string_view name, M T::*member, const Key& key = {}) {
    return field(name, member, default_type<M>(key.range), key);
  }
  /// For a value inside a member, at the same place in every struct: `access` is a generic lambda,
  /// [](auto& p) -> auto& { return p.tile.forward; }.
  template <class Access>
  requires std::invocable<Access, T&> Section& field(
      std::string_view name, Access access, const Type<std::remove_reference_t<std::invoke_result_t<Access, T&>>>& type,
      const Key& key = {}) {
    rows_->add(name, type, offset_of(access(defaults_)), key);
    return *this;
  }
  /// For a value behind functions.
  template <class V>
  Section& property(std::string_view name, std::function<V(const T&)> get, std::function<void(T&, V)> set, Type<V> type,
                    const Key& key = {}) {
    const Type<T> whole(
        type.info,
        [get, set, type](const Node& node, const std::string& path, T& value, Report& report) {
          V inner = get(value);
          type.read(node, path, inner, report);
          set(value, std::move(inner));
        },
        [get, type](const T& value) { return type.write(get(value)); });
    rows_->add(name, whole, 0, key);
    return *this;
  }
  /// A key that changes the struct in its own way and is not written: "start from this preset". Rows act in the order
  /// of the table, so it comes first.
  template <class Act>
  Section& action(std::string_view name, const std::shared_ptr<const TypeInfo>& info, const Key& key, Act act) {
    rows_->add(name, Type<T>(info, std::move(act), [](const T&) { return Node::null(); }), 0, key, false);
    return *this;
  }
  /// A key whose map holds further members of the same struct.
  Section& group(std::string_view name, const Type<T>& inner, bool nullable = false) {
    return group(name, inner, Key{}, nullable);
  }
  Section& group(std::string_view name, const Type<T>& inner, const Key& key, bool nullable = false) {
    rows_->add_group(name, inner, key, nullable);
    return *this;
  }
  /// A key that is accepted with any value and has no effect; it is reported as unused.
  Section& unused(std::string_view name, const std::string& why) {
    rows_->add_unused(name, why);
    return *this;
  }
  /// Runs after all keys were read without problems; throws ConfigError with keys relative to this section.
  Section& check(std::function<void(const T&)> function) {
    rows_->check = [function = std::move(function)](const void* value) { function(*static_cast<const T*>(value)); };
    return *this;
  }

  /// The finished type. `example` supplies the defaults that the documentation shows.
  Type<T> type(const T& example) const { return Type<T>(rows_->type(name_, help_, &example)); }
  Type<T> type() const { return type(defaults_); }
  operator Type<T>() const { return type(); }  // NOLINT(google-explicit-constructor): a table is a type

 private:
  /// Bytes.
  template <class V>
  std::size_t offset_of(const V& value) const {
    const auto* start = reinterpret_cast<const char*>(&defaults_);
    const auto* at = reinterpret_cast<const char*>(&value);
    TESSERA_EXPECT(at >= start && at + sizeof(V) <= start + sizeof(T));
    return static_cast<std::size_t>(at - start);
  }

  std::string name_;
  std::string help_;
  T defaults_{};
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
