// rocket_documentation FOLDER: what cmake --install puts beside the program, made from its command line.
#include <cstdio>

#include "base/error.h"
#include "base/files.h"
#include "documentation/interface.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: rocket_documentation FOLDER\n");
    return static_cast<int>(rocket::ExitCode::usage);
  }
  try {
    using namespace rocket;
    const std::filesystem::path folder = argv[1];
    const Interface interface = program_interface();
    write_man_pages(interface, folder / "man");
    write_file(folder / "rocket", bash_completion(interface));
    write_file(folder / "_rocket", zsh_completion(interface));
    write_file(folder / "rocket.fish", fish_completion(interface));
    write_file(folder / "interface.json", interface_json(interface));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "rocket_documentation: %s\n", e.what());
    return static_cast<int>(rocket::ExitCode::storage);
  }
}
