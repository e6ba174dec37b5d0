// The files that a path or a pattern of the configuration or the command line names.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace rocket {

/// Why `path` cannot be an input file, as a sentence that begins with it: it does not exist, is a folder, a
/// pipe or a device (inputs are read more than once), or may not be read. Empty if it can.
std::string input_problem(const std::filesystem::path& path);

struct FileMatches {
  std::vector<std::filesystem::path> files;  // sorted by bytes
  std::string problem;                       // a sentence that names what is wrong; then there are no files
  /// Folders that match, hold something, and of which no matching file is a part.
  std::vector<std::filesystem::path> passed_over;
};

/// The files that a pattern names, by the rules of Python's glob.glob(recursive=True): `*`, `?` and `[...]`
/// within one component, `**` as a whole component for any number of folders; neither meets a name that
/// begins with a dot. An existing path is itself, whatever characters it has. A folder that `save_to_disk` of
/// datasets wrote stands for its Arrow files; other folders are passed over. A problem is: no file, a link on
/// the way that leads nowhere, a folder that cannot be read, `**` inside a component, or a file that
/// `input_problem` has something against.
FileMatches match_files(const std::string& pattern);

}  // namespace rocket
