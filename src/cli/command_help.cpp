#include <algorithm>

#include "cli/commands.hpp"
#include "cli/text_table.hpp"
#include "tessera/core/error.hpp"
#include "tessera/tile/presets.hpp"

namespace tessera::cli {

namespace {

void print_presets(std::ostream& out) {
  TextTable table;
  table.add_column("preset", TextTable::Align::left);
  table.add_column("what it is", TextTable::Align::left);
  for (const tile::Preset& preset : tile::presets()) table.add_row({preset.name, preset.help});
  out << "Starting points for `rpu_config: {preset: NAME}`; keys beside it are merged over it.\n\n" << table.text();
}

std::vector<std::string> topics(const CLI::App& app) {
  std::vector<std::string> names{"presets"};
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

void print_help(CLI::App& app, const std::string& topic, std::ostream& out) {
  if (topic.empty()) {
    // App::help() would show the help of the chosen command, which is this one.
    out << app.get_formatter()->make_help(&app, app.get_name(), CLI::AppFormatMode::Normal)
        << "\nOther topics: tessera help presets\n";
  } else if (topic == "presets") {
    print_presets(out);
  } else {
    const std::vector<std::string> known = topics(app);
    if (std::find(known.begin(), known.end(), topic) == known.end()) {
      const std::string near = nearest_word(topic, known);
      throw UsageError(fmt::format("no help on '{}'{}", topic,
                                   near.empty() ? fmt::format("; topics: {}", fmt::join(known, ", "))
                                                : fmt::format("; did you mean '{}'?", near)));
    }
    out << app.get_subcommand(topic)->help();
  }
}

}  // namespace

void add_help_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("help", "Help on a command or topic: tessera help presets");
  auto topic = std::make_shared<std::string>();
  command->add_option("TOPIC", *topic, "A command, or: presets");
  command->callback([&app, &invocation, topic] {
    invocation.action = [&app, &invocation, topic] { print_help(app, *topic, invocation.console.out); };
  });
}

}  // namespace tessera::cli
