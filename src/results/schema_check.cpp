#include <algorithm>
#include <map>
#include <set>

#include "results/layout.hpp"

namespace tessera::results {
namespace {

const std::set<std::string>& scale_attributes() {
  static const std::set<std::string> names{"CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "_Netcdf4Dimid"};
  return names;
}

struct Checker {
  const h5::File& file;
  std::vector<std::string> swept = {};
  std::vector<std::string> problems = {};

  template <class... Args>
  void problem(fmt::format_string<Args...> format, Args&&... args) {
    problems.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  void check_group_attributes(const h5::Group& group) {
    const std::string schema = schema_group(group.path());
    for (const h5::AttributeInfo& info : group.attributes()) {
      const auto row = std::find_if(attributes().begin(), attributes().end(), [&](const FileAttribute& candidate) {
        return candidate.group == schema && candidate.name == info.name;
      });
      if (row == attributes().end()) {
        problem("attribute {} of {} is not declared", info.name, group.path());
      } else if (row->type != info.type) {
        problem("attribute {} of {} is {}, not {}", info.name, group.path(), h5::to_string(info.type),
                h5::to_string(row->type));
      }
    }
    for (const FileAttribute& row : attributes()) {
      if (row.group == schema && row.name != "swept" && !group.has_attribute(std::string(row.name))) {
        problem("attribute {} of {} is missing", row.name, group.path());
      }
    }
  }

  /// The axes that the table gives the variable, as names; features by the rank that is left.
  std::vector<std::string> expected_axes(const Variable& row, std::size_t rank) const {
    std::vector<std::string> names;
    for (const Dim dim : row.dims) {
      if (dim == Dim::swept) {
        names.insert(names.end(), swept.begin(), swept.end());
      } else if (dim == Dim::position) {
        for (std::string& name : position_names(Shape(rank - std::min(rank, names.size()), 1)))
          names.push_back(std::move(name));
      } else if (dim == Dim::feature) {
        for (std::string& name : feature_names(Shape(rank - std::min(rank, names.size()), 1))) {
          names.push_back(std::move(name));
        }
      } else {
        names.emplace_back(to_string(dim));
      }
    }
    return names;
  }

  bool is_axis(const std::string& name, const std::string& group) const {
    static const std::set<Dim> everywhere{Dim::time,         Dim::repeat,         Dim::sample,      Dim::layer,
                                          Dim::tile,         Dim::tile_column,    Dim::output,      Dim::conductance,
                                          Dim::weight_slice, Dim::array_output,   Dim::array_input, Dim::population,
                                          Dim::component,    Dim::area_component, Dim::action,      Dim::coefficient,
                                          Dim::class_label,  Dim::predicted_class};
    if (std::find(swept.begin(), swept.end(), name) != swept.end()) return true;
    if (std::any_of(everywhere.begin(), everywhere.end(), [&](Dim dim) { return to_string(dim) == name; })) return true;
    const h5::Group parent = file.group(group);
    for (const char* variable : {"output", "predictions"}) {
      if (!parent.contains(variable)) continue;
      const std::vector<std::string> axes = h5::dimension_names(parent.dataset(variable));
      if (std::find(axes.begin(), axes.end(), name) != axes.end()) return true;
    }
    return false;
  }

  void check_text(const h5::Dataset& dataset, const char* attribute, std::string_view expected) {
    if (!dataset.has_attribute(attribute)) {
      problem("{} has no attribute {}", dataset.path(), attribute);
    } else if (!expected.empty() && dataset.attribute<std::string>(attribute) != expected) {
      problem("{} has the attribute {} '{}', not '{}'", dataset.path(), attribute,
              dataset.attribute<std::string>(attribute), expected);
    }
  }

  void check_dataset(const h5::Dataset& dataset, const std::string& group) {
    for (const h5::AttributeInfo& info : dataset.attributes()) {
      if (info.name != "units" && info.name != "long_name" && info.name != "_FillValue" &&
          !scale_attributes().contains(info.name)) {
        problem("attribute {} of {} is not declared", info.name, dataset.path());
      }
    }
    if (h5::is_scale(dataset)) {
      if (!is_axis(dataset.name(), group)) problem("the axis {} is not declared", dataset.path());
      if (h5::is_bare_dimension(dataset)) return;
      check_text(dataset, "units", "");
      check_text(dataset, "long_name", "");
      return;
    }
    const auto& rows = variables();
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const Variable& candidate) {
      return candidate.group == schema_group(group) && candidate.name == dataset.name();
    });
    if (row == rows.end()) return problem("the variable {} is not declared", dataset.path());
    if (row->type != dataset.type()) {
      problem("{} holds {}, not {}", dataset.path(), h5::to_string(dataset.type()), h5::to_string(row->type));
    }
    const std::vector<std::string> axes = h5::dimension_names(dataset);
    const std::vector<std::string> expected = expected_axes(*row, axes.size());
    if (axes != expected) {
      problem("{} has the axes ({}), not ({})", dataset.path(), fmt::join(axes, ", "), fmt::join(expected, ", "));
    }
    check_text(dataset, "units", row->units);
    check_text(dataset, "long_name", row->long_name);
    if (row->fill.has_value() != dataset.has_attribute("_FillValue")) {
      problem("{} {} a _FillValue", dataset.path(), row->fill ? "needs" : "has no use for");
    }
  }

  void check() {
    if (file.has_attribute("swept")) swept = file.attribute_values<std::string>("swept");
    check_group_attributes(file);
    file.visit([&](const std::string& path, h5::Kind kind) {
      const std::string full = "/" + path;
      const std::size_t slash = full.rfind('/');
      const std::string group = slash == 0 ? "/" : full.substr(0, slash);
      if (kind == h5::Kind::dataset) {
        check_dataset(file.dataset(full), group);
      } else if (kind == h5::Kind::group) {
        static const std::set<std::string> groups{"/config",  "/reference", "/layers", "/outputs",
                                                  "/spiking", "/cost",      "/runtime"};
        const bool of_layer = group == "/layers" || group == "/outputs" || schema_group(full) == "/layers/<layer>/cost";
        if (!groups.contains(full) && !of_layer) return problem("the group {} is not declared", full);
        check_group_attributes(file.group(full));
      } else {
        problem("{} is neither a group nor a variable", full);
      }
    });
  }
};

}  // namespace

std::vector<std::string> check_schema(const h5::File& file) {
  Checker checker{file};
  checker.check();
  return checker.problems;
}

}  // namespace tessera::results
