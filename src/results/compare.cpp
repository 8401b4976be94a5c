#include "tessera/results/compare.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "tessera/h5/file.hpp"

namespace tessera::results {
namespace {

using h5::ElementType;

struct Comparison {
  const h5::File& a;
  const h5::File& b;
  std::set<std::string> ignored;
  std::size_t limit;
  std::vector<std::string> differences = {};

  template <class... Args>
  void differ(fmt::format_string<Args...> format, Args&&... args) {
    if (differences.size() < limit) differences.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  /// Is the object or something above it ignored?
  bool skip(const std::string& path) const {
    for (std::size_t end = path.size(); end != std::string::npos && end > 0; end = path.rfind('/', end - 1)) {
      if (ignored.contains(path.substr(0, end))) return true;
    }
    return false;
  }

  /// Names (in order) and whatever belongs to them, with those that only one side has reported.
  template <class T>
  std::vector<std::string> common(const std::map<std::string, T>& of_a, const std::map<std::string, T>& of_b,
                                  const char* what) {
    std::vector<std::string> names;
    for (const auto& [name, value] : of_a) {
      if (of_b.contains(name)) {
        names.push_back(name);
      } else {
        differ("{} {} is only in '{}'", what, name, a.file_name());
      }
    }
    for (const auto& [name, value] : of_b) {
      if (!of_a.contains(name)) differ("{} {} is only in '{}'", what, name, b.file_name());
    }
    return names;
  }

  std::map<std::string, h5::Kind> objects(const h5::File& file) const {
    std::map<std::string, h5::Kind> found;
    file.visit([&](const std::string& path, h5::Kind kind) {
      if (!skip("/" + path)) found.emplace("/" + path, kind);
    });
    return found;
  }

  std::map<std::string, h5::AttributeInfo> attributes(const h5::Object& object) const {
    static const std::set<std::string> of_scales{"CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST"};
    std::map<std::string, h5::AttributeInfo> found;
    for (h5::AttributeInfo& info : object.attributes()) {
      const std::string name = object.path() + "@" + info.name;
      if (!of_scales.contains(info.name) && !ignored.contains(name)) found.emplace(name, std::move(info));
    }
    return found;
  }

  template <class T>
  static bool same_bits(const std::vector<T>& x, const std::vector<T>& y) {
    if constexpr (std::is_arithmetic_v<T>) {
      return x.size() == y.size() && (x.empty() || std::memcmp(x.data(), y.data(), x.size() * sizeof(T)) == 0);
    } else {
      return x == y;
    }
  }

  template <class T>
  static std::string shown(const T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
      return value.size() <= 60 ? "'" + value + "'" : fmt::format("text of {} bytes", value.size());
    } else if constexpr (std::is_floating_point_v<T>) {
      return fmt::format("{:.9g}", value);
    } else {
      return fmt::format("{}", value);
    }
  }

  template <class T>
  void compare_values(const std::string& what, const std::vector<T>& x, const std::vector<T>& y) {
    if (same_bits(x, y)) return;
    std::size_t count = 0;
    std::size_t first = 0;
    for (std::size_t i = std::min(x.size(), y.size()); i-- > 0;) {
      if (same_bits(std::vector<T>{x[i]}, std::vector<T>{y[i]})) continue;
      ++count;
      first = i;
    }
    differ("{}: {} of {} values differ, first element {}: {} and {}", what, count, x.size(), first, shown(x[first]),
           shown(y[first]));
  }

  /// Calls use(example) with a value of the type that holds the elements.
  template <class Use>
  static bool with_type(ElementType type, Use&& use) {
    switch (type) {
      case ElementType::float16:
      case ElementType::float32:
        use(float{});
        return true;
      case ElementType::float64:
        use(double{});
        return true;
      case ElementType::int8:
      case ElementType::boolean:
        use(std::int8_t{});
        return true;
      case ElementType::uint8:
        use(std::uint8_t{});
        return true;
      case ElementType::int16:
        use(std::int16_t{});
        return true;
      case ElementType::uint16:
        use(std::uint16_t{});
        return true;
      case ElementType::int32:
        use(std::int32_t{});
        return true;
      case ElementType::uint32:
        use(std::uint32_t{});
        return true;
      case ElementType::int64:
        use(std::int64_t{});
        return true;
      case ElementType::uint64:
        use(std::uint64_t{});
        return true;
      case ElementType::string:
        use(std::string{});
        return true;
      case ElementType::other:
        break;
    }
    return false;
  }

  void compare_attributes(const h5::Object& of_a, const h5::Object& of_b) {
    const auto in_a = attributes(of_a);
    const auto in_b = attributes(of_b);
    for (const std::string& name : common(in_a, in_b, "the attribute")) {
      const h5::AttributeInfo& x = in_a.at(name);
      const h5::AttributeInfo& y = in_b.at(name);
      if (x.type != y.type || x.shape != y.shape) {
        differ("{}: {} of shape {} and {} of shape {}", name, h5::to_string(x.type), to_string(x.shape),
               h5::to_string(y.type), to_string(y.shape));
        continue;
      }
      const bool known = with_type(x.type, [&]<class T>(T) {
        compare_values(name, of_a.attribute_values<T>(x.name), of_b.attribute_values<T>(x.name));
      });
      if (!known) differ("{} cannot be compared", name);
    }
  }

  /// In blocks of a few million elements, for recorded tensors: steps along the axis where the rest has become small
  /// enough, for every index of the axes before it.
  template <class T>
  void compare_blocks(const h5::Dataset& x, const h5::Dataset& y) {
    constexpr std::int64_t most = std::int64_t{1} << 22;
    const Shape& shape = x.shape();
    if (element_count(shape) == 0) return;
    std::size_t axis = shape.size() - 1;
    std::int64_t row = 1;
    while (axis > 0 && row * shape[axis] <= most) row *= shape[axis--];
    const std::int64_t step = std::max<std::int64_t>(1, most / row);
    Shape start(shape.size(), 0);
    Shape count = shape;
    std::fill(count.begin(), count.begin() + static_cast<std::ptrdiff_t>(axis), 1);
    const std::size_t before = differences.size();
    for (bool more = true; more && differences.size() == before;) {
      count[axis] = std::min(step, shape[axis] - start[axis]);
      std::vector<T> of_x(static_cast<std::size_t>(element_count(count)));
      std::vector<T> of_y(of_x.size());
      x.read_block<T>(start, count, of_x);
      y.read_block<T>(start, count, of_y);
      const bool whole = count == shape;
      compare_values(whole ? x.path() : fmt::format("{} from ({})", x.path(), fmt::join(start, ", ")), of_x, of_y);
      start[axis] += step;
      more = start[axis] < shape[axis];
      for (std::size_t i = axis; !more && i > 0;) {
        start[i--] = 0;
        more = ++start[i] < shape[i];
      }
    }
  }

  void compare_datasets(const h5::Dataset& x, const h5::Dataset& y) {
    if (x.type() != y.type() || x.shape() != y.shape()) {
      return differ("{}: {} of shape {} and {} of shape {}", x.path(), h5::to_string(x.type()), to_string(x.shape()),
                    h5::to_string(y.type()), to_string(y.shape()));
    }
    const auto axes_x = h5::dimension_names(x);
    const auto axes_y = h5::dimension_names(y);
    if (axes_x != axes_y) {
      return differ("{}: axes ({}) and ({})", x.path(), fmt::join(axes_x, ", "), fmt::join(axes_y, ", "));
    }
    if (h5::is_bare_dimension(x) && h5::is_bare_dimension(y)) return;
    const bool known = with_type(x.type(), [&]<class T>(T) {
      if constexpr (std::is_arithmetic_v<T>) {
        if (x.rank() > 0) return compare_blocks<T>(x, y);
      }
      compare_values(x.path(), x.read<T>(), y.read<T>());
    });
    if (!known) differ("{} cannot be compared", x.path());
  }

  void compare() {
    compare_attributes(a, b);
    const auto in_a = objects(a);
    const auto in_b = objects(b);
    for (const std::string& path : common(in_a, in_b, "the object")) {
      const h5::Kind kind = in_a.at(path);
      if (kind != in_b.at(path)) {
        differ("{} is a group in one file and a dataset in the other", path);
      } else if (kind == h5::Kind::group) {
        compare_attributes(a.group(path), b.group(path));
      } else if (kind == h5::Kind::dataset) {
        const h5::Dataset x = a.dataset(path);
        const h5::Dataset y = b.dataset(path);
        compare_attributes(x, y);
        compare_datasets(x, y);
      }
    }
  }
};

}  // namespace

std::vector<std::string> compare(const std::string& path_a, const std::string& path_b,
                                 const std::vector<std::string>& ignored, std::size_t limit) {
  const h5::File a = h5::File::open(path_a);
  const h5::File b = h5::File::open(path_b);
  Comparison comparison{a, b, {ignored.begin(), ignored.end()}, limit};
  comparison.compare();
  return comparison.differences;
}

}  // namespace tessera::results
