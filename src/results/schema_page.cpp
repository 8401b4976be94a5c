#include <iterator>

#include "tessera/results/schema.hpp"

namespace tessera::results {
namespace {

constexpr std::string_view introduction = R"(# Result files

<!-- Generated from the table in src/results/schema.cpp; TESSERA_UPDATE_DOCS=1 and the results tests rewrite it. -->

`tessera run` and `tessera sweep` write HDF5 that opens in xarray, netCDF4 and h5py:

```python
import xarray as xr
ds = xr.open_dataset("sweep.h5", engine="h5netcdf")            # accuracy, loss, ... with named axes
ds.accuracy.sel(n_bits=4, time=3600).mean("repeat")
fc2 = xr.open_dataset("sweep.h5", engine="h5netcdf", group="layers/fc2")
fc2.sqnr_db.mean("repeat")
```

- Axes are dimension scales: every group has its own, so each opens alone. A sweep adds one axis per swept key in front
  of (time, repeat, ...), named after the key and with the swept values, numbers or text, as coordinates; its `long_name`
  is the whole key. A plain run has none.
- Every variable has `units` and `long_name`. Where a point may be missing, `_FillValue` says how: NaN, -1, or
  -2147483648 for integer codes. The file of an interrupted run is valid; its attribute `complete` is 0 and `finished`
  tells which points are there.
- A layer's group is named after the layer. Where the name holds a '/', which HDF5 cannot keep, it becomes '.', a leading
  one is dropped, and "~2", "~3", ... tell names apart that became equal; the attribute `name` is always the layer's own.
- `/runtime` and `created_utc` say how the file came about. Everything else is bit-identical for the same seed
  and configuration on one instruction set, whatever the threads, batch size or ranks.
- A file appears under its name when it is complete or the run was stopped in good order. Until then, and after a crash,
  there is "<name>.partial", readable up to the last finished point.

)";

std::string dimensions(const Variable& row) {
  if (row.dims.empty()) return "scalar";
  std::string text;
  for (const Dim dim : row.dims) text += (text.empty() ? "" : ", ") + std::string(to_string(dim));
  return "(" + text + ")";
}

std::string fill_text(const Variable& row) {
  if (!row.fill) return "";
  return *row.fill != *row.fill ? "NaN" : fmt::format("{:.0f}", *row.fill);
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else {
      result += c;
    }
  }
  return result;
}

void append_group(std::string& page, std::string_view group) {
  fmt::format_to(std::back_inserter(page), "\n## `{}`\n\n", group);
  bool any = false;
  for (const FileAttribute& row : attributes()) {
    if (row.group != group) continue;
    if (!any) page += "| attribute | type | meaning |\n|---|---|---|\n";
    any = true;
    fmt::format_to(std::back_inserter(page), "| `{}` | {} | {} |\n", row.name, h5::to_string(row.type), row.meaning);
  }
  if (any) page += "\n";
  page += "| variable | axes | type | units | missing | meaning | present |\n|---|---|---|---|---|---|---|\n";
  for (const Variable& row : variables()) {
    if (row.group != group) continue;
    fmt::format_to(std::back_inserter(page), "| `{}` | {} | {} | {} | {} | {} | {} |\n", row.name,
                   escaped(dimensions(row)), h5::to_string(row.type), row.units, fill_text(row), row.long_name,
                   to_string(row.presence));
  }
}

}  // namespace

std::string schema_page() {
  std::string page(introduction);
  fmt::format_to(std::back_inserter(page), "Schema version {}.{}.\n", schema_major, schema_minor);
  page += R"(
| axis | coordinates | meaning |
|---|---|---|
| &lt;swept axes&gt; | the swept values | one axis per swept key |
| `time` | s | time after programming |
| `repeat` | 0, 1, ... | programmed chip and read of it: `program` and `read` say which |
| `sample` | 0, 1, ... | index in the data set |
| &lt;positions&gt; | none | positions of a sample that have a class each: `position`; `row`, `column`; else `position_1`, ...; none for one class for each sample |
| `layer` | names | in network order |
| `tile` | none | tiles of a layer: part by part, row-major |
| `tile_column` | none | outputs of the tiles of a layer, tile by tile: `column_tile` and `column_output` say which |
| `output_index` | none | outputs of a layer's product |
| `conductance` | bin centre / g_max | bins of conductance histograms over [0, g_max] |
| `weight_slice` | none | digits of the weights of a layer on crossbars, least significant first |
| `array_output`, `array_input` | none | lines of an array: outputs from the drivers on, inputs from the end far from the sense nodes on |
| `component`, `area_component` | names | parts of energies and areas (`docs/models/cost.md`) |
| `action` | names | what happens during an inference |
| `coefficient` | names | rows of the table of components, as keys of `cost.components` |
| `class`, `predicted_class` | 0, 1, ... | labels of a classifier of at most 256 classes |
| &lt;features&gt; | none | axes of a layer's output: `feature`; `position`, `feature`; `channel`, `height`, `width`; else `axis_1`, ... |
)";
  std::vector<std::string_view> groups;
  for (const Variable& row : variables()) {
    if (groups.empty() || groups.back() != row.group) groups.push_back(row.group);
  }
  for (const std::string_view group : groups) append_group(page, group);
  return page;
}

}  // namespace tessera::results
