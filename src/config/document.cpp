#include "tessera/config/document.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

namespace tessera::config {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const Position& at, std::string message) {
  throw ConfigError({Problem{at.file(), at.line, at.column, {}, std::move(message)}});
}

/// Builds a Node from the parser's events.
class Builder final : public YAML::EventHandler {
 public:
  Builder(std::shared_ptr<const Source> source, const Limits& limits) : source_(std::move(source)), limits_(limits) {}

  Node take_root() { return std::move(root_); }
  std::vector<Problem> take_problems() { return std::move(problems_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0) fail(at(mark), "a second document starts here (one document per file); remove the '---'");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node node;
    node.position = at(mark);
    add(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) fail(at(mark), "an alias inside the value that it names");
    count(found->second.nodes, at(mark));
    if (static_cast<int>(open_.size()) + found->second.depth > limits_.depth) too_deep(at(mark));
    insert(found->second.node, found->second.nodes, found->second.depth, 0);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    const bool is_text = tag == "!" || tag == "tag:yaml.org,2002:str";
    if (!is_text) check_tag(tag, mark);
    Node node = is_text ? Node::text(value) : Node::plain(value);
    node.position = at(mark);
    add(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    check_tag(tag, mark);
    open(Node::list(), mark, anchor);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    check_tag(tag, mark);
    open(Node::map(), mark, anchor);
  }
  void OnMapEnd() override {
    Open& top = open_.back();
    for (const Node& below : top.merges) add_missing_keys(top, below);
    close();
  }

 private:
  struct Open {
    Node node;
    YAML::anchor_t anchor = 0;
    bool has_key = false;
    Node key;
    std::unordered_map<std::string, Position> keys;
    std::vector<Node> merges;  // values of `<<`, nearest first
    std::size_t nodes = 1;
    int depth = 1;
  };
  struct Anchor {
    Node node;
    std::size_t nodes = 0;
    int depth = 0;
  };

  Position at(const YAML::Mark& mark) const {
    return mark.is_null() ? Position{source_, 1, 1} : Position{source_, mark.line + 1, mark.column + 1};
  }

  void check_tag(const std::string& tag, const YAML::Mark& mark) const {
    static const std::unordered_set<std::string> known = {"",
                                                          "?",
                                                          "!",
                                                          "tag:yaml.org,2002:map",
                                                          "tag:yaml.org,2002:seq",
                                                          "tag:yaml.org,2002:int",
                                                          "tag:yaml.org,2002:float",
                                                          "tag:yaml.org,2002:bool"};
    if (!known.contains(tag))
      fail(at(mark),
           fmt::format("the tag '{}' has no meaning here; write plain values (objects as `type:` plus fields)", tag));
  }

  void count(std::size_t nodes, const Position& position) {
    nodes_ += nodes;
    if (nodes_ > limits_.nodes)
      fail(position,
           fmt::format("the document has more than {} values (aliases count with all they repeat)", limits_.nodes));
  }

  [[noreturn]] void too_deep(const Position& position) const {
    fail(position, fmt::format("values are nested deeper than {} levels", limits_.depth));
  }

  void open(Node node, const YAML::Mark& mark, YAML::anchor_t anchor) {
    node.position = at(mark);
    count(1, node.position);
    if (static_cast<int>(open_.size()) >= limits_.depth) too_deep(node.position);
    Open& top = open_.emplace_back();
    top.node = std::move(node);
    top.anchor = anchor;
  }

  void close() {
    Open top = std::move(open_.back());
    open_.pop_back();
    insert(std::move(top.node), top.nodes, top.depth, top.anchor);
  }

  void add(Node scalar, YAML::anchor_t anchor) {
    count(1, scalar.position);
    insert(std::move(scalar), 1, 1, anchor);
  }

  void insert(Node node, std::size_t nodes, int depth, YAML::anchor_t anchor) {
    if (anchor != 0) {
      count(nodes, node.position);
      anchors_[anchor] = {node, nodes, depth};
    }
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& top = open_.back();
    top.nodes += nodes;
    top.depth = std::max(top.depth, depth + 1);
    if (top.node.is_list()) {
      top.node.items.push_back(std::move(node));
    } else if (!top.has_key) {
      if (!node.is_scalar()) fail(node.position, fmt::format("a key must be a word, not {}", describe(node)));
      top.key = std::move(node);
      top.has_key = true;
    } else {
      top.has_key = false;
      add_entry(top, std::move(node));
    }
  }

  void add_entry(Open& top, Node value) {
    if (top.key.scalar == "<<" && !top.key.quoted) {
      const std::vector<Node> maps = value.is_list() ? value.items : std::vector<Node>{value};
      for (const Node& map : maps) {
        if (!map.is_map()) fail(value.position, fmt::format("'<<' merges maps, not {}", describe(map)));
        top.merges.push_back(map);
      }
      return;
    }
    const auto [first, is_new] = top.keys.emplace(top.key.scalar, top.key.position);
    if (!is_new) {
      problems_.push_back({source_->name,
                           top.key.position.line,
                           top.key.position.column,
                           {},
                           fmt::format("duplicate key '{}' (first in line {})", top.key.scalar, first->second.line)});
      return;
    }
    if (value.is_null()) value.position = top.key.position;  // the parser reports the token behind it
    top.node.entries.push_back({std::move(top.key.scalar), std::move(value), top.key.position});
  }

  static void add_missing_keys(Open& top, const Node& below) {
    for (const Node::Entry& entry : below.entries)
      if (top.keys.emplace(entry.key, entry.position).second) top.node.entries.push_back(entry);
  }

  std::shared_ptr<const Source> source_;
  const Limits& limits_;
  std::vector<Open> open_;
  std::unordered_map<YAML::anchor_t, Anchor> anchors_;
  std::vector<Problem> problems_;
  Node root_;
  std::size_t nodes_ = 0;
  int documents_ = 0;
};

/// The length of the UTF-8 sequence at the start of `text` if it is well-formed and no control character, else 0.
std::size_t character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80)
    return byte(0) >= 0x20 ? (byte(0) == 0x7F ? 0 : 1) : (byte(0) == '\t' || byte(0) == '\n' || byte(0) == '\r');
  const std::size_t length = byte(0) >= 0xF0 ? 4 : byte(0) >= 0xE0 ? 3 : 2;
  if (byte(0) < 0xC2 || byte(0) > 0xF4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0U) != 0x80U) return 0;
  if ((byte(0) == 0xE0 && byte(1) < 0xA0) || (byte(0) == 0xED && byte(1) > 0x9F)) return 0;
  if ((byte(0) == 0xF0 && byte(1) < 0x90) || (byte(0) == 0xF4 && byte(1) > 0x8F)) return 0;
  return length;
}

void check_is_text(std::string_view text, const std::shared_ptr<const Source>& source) {
  int line = 1;
  int column = 1;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = character_length(text.substr(i));
    if (length == 0)
      fail({source, line, column}, fmt::format("byte 0x{:02X} is not text (is this YAML in UTF-8?)",
                                               static_cast<unsigned>(static_cast<unsigned char>(text[i]))));
    ++column;
    if (text[i] == '\n') {
      ++line;
      column = 1;
    }
    i += length;
  }
}

/// The value of one --set; its few characters need no line and column.
Node parse_override(const std::string& text, std::string_view value) {
  try {
    return parse(value, {fmt::format("--set {}", text), {}});
  } catch (const ConfigError& error) {
    std::vector<Problem> problems = error.problems();
    for (Problem& problem : problems) problem.line = problem.column = 0;
    throw ConfigError(std::move(problems));
  }
}

/// Follows `base:` of one configuration.
class Loader {
 public:
  explicit Loader(const Limits& limits) : limits_(limits) {}

  Node file(const std::string& path, const Position& named_at) {
    if (++files_ > limits_.files) fail(named_at, fmt::format("more than {} files through `base:`", limits_.files));
    const std::string identity = fs::weakly_canonical(path).string();
    if (std::find(chain_.begin(), chain_.end(), identity) != chain_.end())
      fail(named_at, fmt::format("'{}' is its own base", path));
    const std::string text = read(path, named_at);
    chain_.push_back(identity);
    Node node = with_bases(parse(text, {path, fs::path(path).parent_path().string()}, limits_));
    chain_.pop_back();
    return node;
  }

  Node with_bases(Node node) {
    if (node.is_null()) node.kind = Node::Kind::map;
    if (!node.is_map()) fail(node.position, fmt::format("a configuration is a map, not {}", describe(node)));
    const Node* named = node.find("base");
    if (named == nullptr) return node;
    const std::vector<Node> names = named->is_list() ? named->items : std::vector<Node>{*named};
    Node below = Node::map();
    for (const Node& name : names) {
      if (name.is_null()) continue;
      if (!name.is_scalar()) fail(name.position, fmt::format("base: expected a path, got {}", describe(name)));
      const std::string& directory = name.position.source->directory;
      below = merged(std::move(below),
                     file((fs::path(directory) / name.scalar).lexically_normal().string(), name.position));
    }
    node.erase("base");
    return merged(std::move(below), node);
  }

 private:
  std::string read(const std::string& path, const Position& named_at) const {
    std::error_code error;
    const auto missing = [&](const std::string& why) {
      if (named_at.source) fail(named_at, fmt::format("base: cannot read '{}' ({})", path, why));
      fail({std::make_shared<Source>(Source{path, {}}), 0, 0}, fmt::format("cannot read the configuration ({})", why));
    };
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status)) missing("no such file");
    if (fs::is_directory(status)) missing("it is a directory");
    if (!fs::is_regular_file(status)) missing("it is no regular file");
    const auto size = fs::file_size(path, error);
    if (error) missing(error.message());
    if (size > limits_.bytes) missing(fmt::format("{} bytes; at most {} are a configuration", size, limits_.bytes));
    std::ifstream stream(path, std::ios::binary);
    std::ostringstream text;
    text << stream.rdbuf();
    if (!stream && size > 0) missing("reading failed");
    return text.str();
  }

  const Limits& limits_;
  std::vector<std::string> chain_;
  int files_ = 0;
};

}  // namespace

Node parse(std::string_view text, const Source& source, const Limits& limits) {
  const auto shared = std::make_shared<const Source>(source);
  if (text.size() > limits.bytes)
    fail({shared, 1, 1}, fmt::format("{} bytes; at most {} are a configuration", text.size(), limits.bytes));
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  check_is_text(text, shared);
  Builder builder(shared, limits);
  try {
    // Without the comment the parser accepts a quote that is still open at the last line break.
    const bool ends_in_a_line = !text.empty() && text.back() != '\n';
    std::istringstream stream(std::string(text) + (ends_in_a_line ? "\n# end" : "# end"));
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    const bool known = !error.mark.is_null();
    fail({shared, known ? error.mark.line + 1 : 1, known ? error.mark.column + 1 : 1}, "not valid YAML: " + error.msg);
  }
  std::vector<Problem> problems = builder.take_problems();
  if (!problems.empty()) throw ConfigError(std::move(problems));
  Node root = builder.take_root();
  if (root.position.source == nullptr) root.position = {shared, 1, 1};
  return root;
}

Node load(const std::string& path, const Limits& limits) {
  return Loader(limits).file(path, {});
}

Node load_text(std::string_view text, const Source& source, const Limits& limits) {
  return Loader(limits).with_bases(parse(text, source, limits));
}

void apply_overrides(Node& root, const std::vector<std::string>& overrides,
                     const std::vector<std::string>& rule_lists) {
  const auto source = std::make_shared<const Source>(Source{"--set", {}});
  const auto without_lines = [&](auto&& self, Node& node) -> void {
    node.position = {source, 0, 0};
    for (Node& item : node.items) self(self, item);
    for (Node::Entry& entry : node.entries) {
      entry.position = {source, 0, 0};
      self(self, entry.value);
    }
  };
  for (const std::string& text : overrides) {
    const std::size_t equals = text.find('=');
    require<UsageError>(equals != std::string::npos && equals > 0, "--set {}: expected key=value", text);
    Node value = parse_override(text, std::string_view(text).substr(equals + 1));
    without_lines(without_lines, value);
    set_path(root, text.substr(0, equals), std::move(value), rule_lists);
  }
}

}  // namespace tessera::config
