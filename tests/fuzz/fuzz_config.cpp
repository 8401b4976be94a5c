// Does every text read as a configuration, which then resolves to a text that reads back equal, or end in an error?
#include <string_view>

#include "fuzz_target.hpp"
#include "tessera/spec/run_config.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tessera::fuzz::expect_result_or_error([&] {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const tessera::spec::RunConfig config = tessera::spec::read_run_config_text(text, "fuzz", "/nonexistent");
    const std::string resolved = tessera::spec::resolved_text(config);
    if (tessera::spec::resolved_text(tessera::spec::read_run_config_text(resolved, "resolved", "")) != resolved)
      std::abort();
  });
  return 0;
}
