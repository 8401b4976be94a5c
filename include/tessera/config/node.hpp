#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/error.hpp"

/// A configuration as a tree in which every value knows where it was written.
namespace tessera::config {

/// Where text came from: a file, or the command line ("--set").
struct Source {
  std::string name;       ///< shown in messages: the path as it was given
  std::string directory;  ///< relative paths in this text start here; "" is the working directory
};

/// Lines and columns count from 1; 0 means unknown (a value made by the program or given by --set).
struct Position {
  std::shared_ptr<const Source> source;
  int line = 0;
  int column = 0;

  std::string file() const { return source ? source->name : std::string(); }
};

/// Null, a scalar, a list or a map. A plain struct; copies are deep.
struct Node {
  enum class Kind { null, scalar, list, map };
  struct Entry;

  Kind kind = Kind::null;
  std::string scalar;   ///< as written, quotes and escapes resolved
  bool quoted = false;  ///< a quoted scalar is text and never a number, boolean or null
  std::vector<Node> items;
  std::vector<Entry> entries;  ///< in the order of the file; keys are unique
  Position position;

  static Node null();
  static Node plain(std::string scalar);
  static Node text(std::string value);
  static Node boolean(bool value);
  static Node integer(std::int64_t value);
  static Node real(double value);
  static Node list();
  static Node list(std::vector<Node> items);
  static Node map();
  static Node map(std::vector<Entry> entries);

  bool is_null() const { return kind == Kind::null; }
  bool is_scalar() const { return kind == Kind::scalar; }
  bool is_list() const { return kind == Kind::list; }
  bool is_map() const { return kind == Kind::map; }

  /// The value of a key, or nullptr (also if this is no map).
  const Node* find(std::string_view key) const;
  Node* find(std::string_view key);
  /// Sets a key of a map, in its place if it exists, else at the end. A null node becomes a map.
  Node& set(std::string_view key, Node value);
  /// Removes a key if it is there.
  void erase(std::string_view key);
};

struct Node::Entry {
  std::string key;
  Node value;
  Position position;  ///< of the key
};

/// Equal content: kinds, scalars, order of lists; maps regardless of the order of their keys. Positions do not count.
bool operator==(const Node& a, const Node& b);

/// The shortest decimal text that reads back as the same double, written so that every YAML reader takes it for a
/// floating-point number: "1.0", "2.5e-07", ".inf".
std::string format_real(double value);

/// What a value is, for messages: "a map", "a list", "null", "'4.5'", "the text '8'".
std::string describe(const Node& node);

/// `over` laid over `base`: maps merge by key (or _key), everything else is replaced, null included. A map whose `type`
/// differs from that of the map below replaces it whole, since the other type's keys mean nothing to it.
Node merged(Node base, const Node& over);

/// The value at a dotted path ("forward.out_res", "layers.2.match"), or nullptr. Keys match with or without a leading
/// underscore.
const Node* find_path(const Node& root, std::string_view path);

/// The position of the value at a dotted path, or of its deepest ancestor that exists.
Position locate(const Node& root, std::string_view path);

/// Splits "a.b.c" at its dots; a part in double quotes may contain dots: layers."block1.conv".analog. Throws UsageError
/// if a part is empty or a quote is not closed.
std::vector<std::string> split_path(const std::string& path);

/// Sets the value at a dotted path, making maps on the way. In a list a part is an index (from 0); a word instead of an
/// index appends the entry {match: word}. Paths in `rule_lists` that do not exist yet become such lists. Setting a
/// `type` to another value drops the other keys of its map, as in merged(). Throws ConfigError if the path leads
/// through a scalar or past the end of a list.
void set_path(Node& root, const std::string& path, Node value, const std::vector<std::string>& rule_lists = {});

}  // namespace tessera::config
