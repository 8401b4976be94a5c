#include "tessera/config/schema.hpp"
#include "tessera/spec/run_config.hpp"

namespace tessera::spec {

std::string configuration_page() {
  return R"(# Configuration

<!-- Written from the key tables by `tessera schema --markdown`; a test compares. Do not edit. -->

A configuration is one YAML file. An unknown key anywhere is an error with its position and the nearest legal name; all
problems are reported at once. Editors complete and check files with the JSON Schema that `tessera schema` writes.

```yaml
model: {file: mnist.onnx}
data: {format: idx, inputs: t10k-images-idx3-ubyte.gz, labels: t10k-labels-idx1-ubyte.gz, scale: 0.00392156862745098}
rpu_config:
  forward: {inp_res: 254, out_res: 254, out_noise: 0.04}
layers:
  - {match: conv1, analog: false}
```

- **Paths** are relative to the file that names them; paths in `--set` are relative to the working directory. In the
  resolved configuration they are absolute.
- **`base: other.yaml`** (or a list, in which later files win) at the top merges this file over others: maps merge key by
  key, everything else is replaced, lists too. A map whose `type` differs from that of the map below replaces it whole.
  `null` turns off what may be null. Bases may have bases.
- **`--set a.b.c=value`** sets one key; the value is YAML. Lists count from 0 (`layers.0.analog=false`); a word in place of
  a number adds a rule for the layers it matches (`layers.fc2.rpu_config.forward.out_res=62`). Names with dots stand in
  double quotes (`layers."block1.conv".analog=false`).
- **Anchors** (`&name`, `*name`, `<<: *name`) work. A key given twice is an error.
- **Layers**: for each layer the rules of `layers:` that match are read over `rpu_config` in their order, so a rule holds
  only the keys that differ. A rule that matches no layer is an error.
- **Enumerators** are accepted as `ABS_MAX` and `AbsMax`; a leading underscore of a key is ignored; numbers are finite and fit
  float32; `true` and `false` are the only booleans.
- **aihwkit**: a dump of an inference configuration can stand at `rpu_config` as it is (`docs/guide/from_aihwkit.md`). Keys
  without effect are listed once when the file is read.
- **`tessera config FILE --resolved`** prints every key with its value; that text alone reproduces the run.

)" + config::markdown_tables(*run_config_type().info);
}

}  // namespace tessera::spec
