// The python3 that runs model programs: where it lies, what it reads, how it is started on a program and its
// tests.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "evaluation/sandbox.h"

namespace rocket {

/// In /usr/bin, /bin or a folder of PATH.
std::optional<std::filesystem::path> find_program(const std::string& name);

/// The system's library folders that are there; of them links as links.
std::vector<std::string> system_folders();

struct Interpreter {
  std::string executable;
  std::string offers;  // what programs may import: "the standard library of Python 3.11.2, numpy 1.26.4"
  std::vector<std::string> modules;  // of packages: name=file, of a namespace name=folder/
  std::vector<std::string> parts;    // what it reads outside the system's library folders: files and folders
  std::string library_path;          // folders of shared objects among them, as LD_LIBRARY_PATH
};

/// `packages`: names of modules or distributions that programs may import beside the standard library, with
/// what they require. Throws config (78) if there is no python3 or it does not run, and for a package that it
/// does not have, saying what to install.
Interpreter find_interpreter(const std::vector<std::string>& packages = {});

/// The interpreter's command line. It reads from descriptor 0 a marker, the program and its tests, apart by
/// zero bytes. It closes what it inherited, limits itself, writes "+", and the marker only when the last test
/// has run.
std::vector<std::string> driver_command(const Interpreter& interpreter, const SandboxLimits& limits);

/// `scratch`: the one folder that a program may write to.
std::vector<std::string> driver_environment(const Interpreter& interpreter, const std::string& scratch);

}  // namespace rocket
