#include "tessera/config/type.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "scalars.hpp"

namespace tessera::config {

namespace {

std::string out_of_range(const Node& node, const Range& range) {
  return fmt::format("{} is out of range (must be {})", node.scalar, range.text());
}

template <class T, class Parse>
Type<T> integer_type(Range range, Range storage, Parse parse) {
  auto info = std::make_shared<TypeInfo>();
  info->kind = TypeInfo::Kind::integer;
  info->range = range;
  const int bits = static_cast<int>(std::lround(std::log2(storage.high - storage.low)));
  return {info,
          [range, storage, bits, parse](const Node& node, const std::string& key, T& value, Report& report) {
            const auto parsed = node.is_scalar() && !node.quoted ? parse(node.scalar) : std::nullopt;
            if (!parsed) {
              report.problem(node.position, key, fmt::format("expected an integer, got {}", describe(node)));
              return;
            }
            const auto as_real = static_cast<double>(parsed->value);
            const bool below = range.low >= 0 && node.scalar[0] == '-' && (parsed->overflow || parsed->value != 0);
            if (below || (!parsed->overflow && !range.contains(as_real)))
              report.problem(node.position, key, out_of_range(node, range));
            else if (parsed->overflow || !storage.contains(as_real))
              report.problem(node.position, key,
                             fmt::format("{} does not fit an integer of {} bits", node.scalar, bits));
            else
              value = parsed->value;
          },
          [](const T& value) { return Node::plain(std::to_string(value)); }};
}

/// Integers, also written as a number with nothing behind the point ("1000.0", "1e3").
std::optional<Parsed<std::int64_t>> parse_whole(const std::string& word) {
  constexpr double exact = 9007199254740992.0;  // 2^53
  if (const auto parsed = parse_integer(word)) return parsed;
  if (word.find_first_of(".eE") == std::string::npos) return std::nullopt;
  const auto number = parse_real(word);
  if (!number || number->overflow || !(std::fabs(number->value) <= exact) || number->value != std::trunc(number->value))
    return std::nullopt;
  return Parsed<std::int64_t>{static_cast<std::int64_t>(number->value), false};
}

/// "NoiseManagementType.ABS_MAX", "AbsMax" and "abs_max" become "absmax".
std::string folded_word(const std::string& word) {
  std::string folded;
  for (const char c : word.substr(word.rfind('.') + 1))
    if (c != '_' && c != '-') folded += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return folded;
}

std::string list_words(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

std::string with_suggestion(const std::string& word, const std::vector<std::string>& legal) {
  const std::string near = nearest_word(word, legal);
  return near.empty() ? fmt::format("must be one of {}", list_words(legal))
                      : fmt::format("did you mean '{}'? (one of {})", near, list_words(legal));
}

}  // namespace

std::string type_text(const TypeInfo& info) {
  const auto with_range = [&](const std::string& name) {
    return info.range.is_everything() ? name : name + " " + info.range.text();
  };
  std::string text;
  switch (info.kind) {
    case TypeInfo::Kind::boolean:
      text = "true or false";
      break;
    case TypeInfo::Kind::integer:
      text = with_range("integer");
      break;
    case TypeInfo::Kind::real:
      text = with_range("number");
      break;
    case TypeInfo::Kind::text:
      text = "text";
      break;
    case TypeInfo::Kind::path:
      text = "path";
      break;
    case TypeInfo::Kind::choice:
      text = "one of " + list_words(info.words);
      break;
    case TypeInfo::Kind::list:
      text = (info.scalar_allowed ? type_text(*info.element) + ", or a " : "") + "list of " + type_text(*info.element);
      if (info.by_name) text += ", or a map of names to " + type_text(*info.by_name);
      break;
    case TypeInfo::Kind::map:
      text = "map of names to " + type_text(*info.element);
      break;
    case TypeInfo::Kind::section:
    case TypeInfo::Kind::variant:
      text = (info.scalar_allowed ? type_text(*info.element) + ", or " : "") + info.name;
      break;
    case TypeInfo::Kind::anything:
      text = "anything";
      break;
  }
  return info.nullable ? text + ", or null" : text;
}

Type<bool> boolean() {
  auto info = std::make_shared<TypeInfo>();
  info->kind = TypeInfo::Kind::boolean;
  return {info,
          [](const Node& node, const std::string& key, bool& value, Report& report) {
            const auto parsed = node.is_scalar() && !node.quoted ? parse_boolean(node.scalar) : std::nullopt;
            if (parsed)
              value = *parsed;
            else
              report.problem(node.position, key, fmt::format("expected true or false, got {}", describe(node)));
          },
          [](const bool& value) { return Node::boolean(value); }};
}

Type<double> real(Range range) {
  auto info = std::make_shared<TypeInfo>();
  info->kind = TypeInfo::Kind::real;
  info->range = range;
  return {info,
          [range](const Node& node, const std::string& key, double& value, Report& report) {
            const auto parsed = node.is_scalar() && !node.quoted ? parse_real(node.scalar) : std::nullopt;
            constexpr double float_max = std::numeric_limits<float>::max();
            if (!parsed)
              report.problem(node.position, key, fmt::format("expected a number, got {}", describe(node)));
            else if (parsed->overflow || (std::isfinite(parsed->value) && std::abs(parsed->value) > float_max))
              report.problem(node.position, key, fmt::format("{} does not fit a float32", node.scalar));
            else if (!std::isfinite(parsed->value) && !(range.infinity && parsed->value > 0.0))
              report.problem(node.position, key, fmt::format("{} is not finite", node.scalar));
            else if (!range.contains(parsed->value))
              report.problem(node.position, key, out_of_range(node, range));
            else
              value = parsed->value;
          },
          [](const double& value) { return Node::real(value); }};
}

Type<std::string> text() {
  auto info = std::make_shared<TypeInfo>();
  info->kind = TypeInfo::Kind::text;
  return {info,
          [](const Node& node, const std::string& key, std::string& value, Report& report) {
            if (node.is_scalar())
              value = node.scalar;
            else
              report.problem(node.position, key, fmt::format("expected text, got {}", describe(node)));
          },
          [](const std::string& value) { return Node::text(value); }};
}

Type<std::string> path() {
  auto info = std::make_shared<TypeInfo>();
  info->kind = TypeInfo::Kind::path;
  return {info,
          [](const Node& node, const std::string& key, std::string& value, Report& report) {
            if (!node.is_scalar() || node.scalar.empty()) {
              report.problem(node.position, key,
                             fmt::format("expected a path, got {}", node.is_scalar() ? "empty text" : describe(node)));
              return;
            }
            namespace fs = std::filesystem;
            const fs::path directory = node.position.source ? node.position.source->directory : std::string();
            std::error_code error;
            const fs::path absolute = fs::absolute(directory / node.scalar, error);
            if (error)
              report.problem(node.position, key, fmt::format("'{}' is no path ({})", node.scalar, error.message()));
            else
              value = absolute.lexically_normal().string();
          },
          [](const std::string& value) { return Node::text(value); }};
}

Type<std::string> path_or_null() {
  const Type<std::string> given = path();
  return {detail::nullable(*given.info),
          [given](const Node& node, const std::string& key, std::string& value, Report& report) {
            if (node.is_null())
              value.clear();
            else
              given.read(node, key, value, report);
          },
          [given](const std::string& value) { return value.empty() ? Node::null() : given.write(value); }};
}

Type<Node> anything(const std::shared_ptr<const TypeInfo>& info) {
  return {info, [](const Node& node, const std::string&, Node& value, Report&) { value = node; },
          [](const Node& value) { return value; }};
}

std::shared_ptr<const detail::AnyType> detail::shared(const AnyType& type) {
  return std::make_shared<const AnyType>(type);
}

std::shared_ptr<const TypeInfo> detail::nullable(const TypeInfo& info) {
  auto changed = std::make_shared<TypeInfo>(info);
  changed->nullable = true;
  return changed;
}

std::shared_ptr<const TypeInfo> detail::list_of(const AnyType& element, std::size_t min_size) {
  auto info = std::make_shared<TypeInfo>();
  info->kind = TypeInfo::Kind::list;
  info->element = element.info;
  info->min_size = min_size;
  return info;
}

std::shared_ptr<const TypeInfo> detail::map_of(const AnyType& element) {
  auto info = std::make_shared<TypeInfo>();
  info->kind = TypeInfo::Kind::map;
  info->element = element.info;
  return info;
}

Type<std::int64_t> detail::signed_integer(Range range, Range storage) {
  return integer_type<std::int64_t>(range, storage, parse_whole);
}

Type<std::uint64_t> detail::unsigned_integer(Range range, Range storage) {
  if (!(range.low >= 0)) range.low = 0;
  return integer_type<std::uint64_t>(range, storage, [](const std::string& word) {
    auto parsed = parse_unsigned(word);
    const auto negative = parsed ? std::nullopt : parse_whole(word);
    if (negative && !negative->overflow && negative->value >= 0)
      return std::optional(Parsed<std::uint64_t>{static_cast<std::uint64_t>(negative->value), false});
    return parsed || !negative ? parsed : std::optional(Parsed<std::uint64_t>{0, true});
  });
}

void detail::Words::add(const std::string& name, const std::vector<std::string>& further, const void* value) {
  const auto* bytes = static_cast<const unsigned char*>(value);
  names.push_back(name);
  also.push_back(further);
  values.emplace_back(bytes, bytes + size);
}

detail::AnyType detail::choice_of_words(Words words) {
  auto info = std::make_shared<TypeInfo>();
  info->kind = TypeInfo::Kind::choice;
  info->words = words.names;
  for (const std::vector<std::string>& further : words.also)
    info->other_words.insert(info->other_words.end(), further.begin(), further.end());
  return {info, std::make_shared<const Words>(std::move(words)),
          [](const void* how, const Node& node, const std::string& key, void* value, Report& report) {
            const auto& known = *static_cast<const Words*>(how);
            if (!node.is_scalar()) {
              report.problem(node.position, key,
                             fmt::format("expected one of {}, got {}", list_words(known.names), describe(node)));
              return;
            }
            const std::string folded = folded_word(node.scalar);
            const auto is_meant = [&](const std::string& word) { return folded_word(word) == folded; };
            for (std::size_t i = 0; i < known.names.size(); ++i) {
              if (!is_meant(known.names[i]) && std::none_of(known.also[i].begin(), known.also[i].end(), is_meant))
                continue;
              std::memcpy(value, known.values[i].data(), known.size);
              return;
            }
            report.problem(
                node.position, key,
                fmt::format("unknown word '{}'; {}", node.scalar, with_suggestion(node.scalar, known.names)));
          },
          [](const void* how, const void* value) {
            const auto& known = *static_cast<const Words*>(how);
            std::size_t chosen = 0;
            while (chosen + 1 < known.values.size() && std::memcmp(known.values[chosen].data(), value, known.size) != 0)
              ++chosen;
            return Node::plain(known.names.at(chosen));
          }};
}

void detail::expect_list(const Node& node, const std::string& key, const TypeInfo& info, Report& report, bool& ok) {
  ok = node.is_list() && node.items.size() >= info.min_size;
  if (ok) return;
  if (!node.is_list())
    report.problem(node.position, key, fmt::format("expected a {}, got {}", type_text(info), describe(node)));
  else
    report.problem(node.position, key,
                   fmt::format("{} entries given, at least {} needed", node.items.size(), info.min_size));
}

void detail::read_map_entries(const Node& node, const std::string& key, Report& report,
                              const std::function<void(const Node::Entry&, const std::string&)>& read_entry) {
  if (!node.is_map()) {
    report.problem(node.position, key, fmt::format("expected a map, got {}", describe(node)));
    return;
  }
  for (const Node::Entry& entry : node.entries) read_entry(entry, key.empty() ? entry.key : key + "." + entry.key);
}

std::size_t detail::read_alternative(const Node& node, const std::string& key, const TypeInfo& info,
                                     std::size_t current, Report& report) {
  std::vector<std::string> legal;
  for (const auto& [name, type] : info.alternatives) legal.push_back(name);
  const Node* type = node.is_map() ? node.find("type") : &node;
  if (type == nullptr) return current;
  if (!type->is_scalar()) {
    report.problem(type->position, key, fmt::format("expected a map with `type:`, got {}", describe(*type)));
    return legal.size();
  }
  const auto found = std::find(legal.begin(), legal.end(), type->scalar);
  if (found == legal.end())
    report.problem(type->position, node.is_map() ? key + ".type" : key,
                   fmt::format("unknown type '{}'; {}", type->scalar, with_suggestion(type->scalar, legal)));
  return static_cast<std::size_t>(found - legal.begin());
}

bool detail::chooses_alternative(const Node& node, const std::string& key, const TypeInfo& info, Report& report) {
  if (info.kind != TypeInfo::Kind::variant || !node.is_map() || node.find("type") != nullptr) return true;
  std::vector<std::string> legal;
  for (const auto& [name, type] : info.alternatives) legal.push_back(name);
  report.problem(node.position, key, fmt::format("missing key 'type' (one of {})", list_words(legal)));
  return false;
}

std::string detail::index_key(const std::string& key, std::size_t index) {
  return fmt::format("{}.{}", key, index);
}

}  // namespace tessera::config
