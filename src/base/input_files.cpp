#include "base/input_files.h"

#include <fmt/format.h>
#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/saved_dataset.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

using Components = std::vector<std::string>;

bool has_magic(const std::string& text) {
  return text.find_first_of("*?[") != std::string::npos;
}

fs::file_type type_of(const fs::path& path) {
  std::error_code unreadable;
  return fs::status(path, unreadable).type();
}

bool is_folder(const fs::path& path) {
  return type_of(path) == fs::file_type::directory;
}

/// A link whose end does not exist.
bool leads_nowhere(const fs::path& path) {
  std::error_code unreadable;
  return fs::is_symlink(path, unreadable) && type_of(path) == fs::file_type::not_found;
}

std::string dangling(const fs::path& link) {
  std::error_code unreadable;
  return fmt::format("{} is a link to {}, which does not exist; mend or remove it", link.string(),
                     fs::read_symlink(link, unreadable).string());
}

/// A saved dataset stands for its files.
FileMatches files_of_dataset(const fs::path& folder) {
  SavedDataset dataset = open_saved_dataset(folder);
  for (const fs::path& file : dataset.files)
    if (dataset.problem.empty()) dataset.problem = input_problem(file);
  if (dataset.problem.empty()) return {std::move(dataset.files), "", {}};
  return {{}, std::move(dataset.problem), {}};
}

/// "a//b/" as "a", "b"; of an absolute path the first one is "/".
Components components_of(const std::string& pattern) {
  Components parts;
  for (const fs::path& part : fs::path(pattern))
    if (!part.empty()) parts.push_back(part.string());
  return parts;
}

/// Walks the folders that a pattern leads through.
class Matcher {
 public:
  explicit Matcher(Components components) : components_(std::move(components)) {}

  FileMatches run() {
    match("", 0);
    std::ranges::sort(found_.files, {}, [](const fs::path& path) { return path.string(); });
    found_.files.erase(std::unique(found_.files.begin(), found_.files.end()), found_.files.end());
    for (const fs::path& folder : folders_)
      if (is_passed_over(folder)) found_.passed_over.push_back(folder);
    std::ranges::sort(found_.passed_over);
    found_.passed_over.erase(std::unique(found_.passed_over.begin(), found_.passed_over.end()),
                             found_.passed_over.end());
    return std::move(found_);
  }

  const std::vector<fs::path>& folders() const { return folders_; }

 private:
  bool is_last(std::size_t i) const { return i + 1 == components_.size(); }

  /// A folder may match where the pattern goes into it elsewhere: `**/*` does.
  bool is_passed_over(const fs::path& folder) const {
    const std::string inside = (folder / "").string();
    std::error_code unreadable;
    const auto next =
        std::ranges::lower_bound(found_.files, inside, {}, [](const fs::path& p) { return p.string(); });
    const bool has_files = next != found_.files.end() && next->string().starts_with(inside);
    return !has_files && !fs::is_empty(folder, unreadable);
  }

  /// What the components from `i` on meet in `folder`; "" is the working directory.
  void match(const fs::path& folder, std::size_t i) {
    const std::string& component = components_[i];
    if (component == "**") return descend(folder, i);
    if (!has_magic(component)) return take(folder / component, i, false);
    for (const fs::path& entry : entries(folder))
      if (::fnmatch(component.c_str(), entry.filename().c_str(), FNM_PERIOD) == 0) take(entry, i, true);
  }

  /// `listed`: the path is an entry of a folder, so that it exists unless it is a link.
  void take(const fs::path& path, std::size_t i, bool listed) {
    if (!found_.problem.empty()) return;
    if (leads_nowhere(path)) {
      found_.problem = dangling(path);
    } else if (is_last(i)) {
      take_last(path, listed);
    } else if (is_folder(path)) {
      match(path, i + 1);
    }
  }

  void take_last(const fs::path& path, bool listed) {
    const fs::file_type type = type_of(path);
    if (type == fs::file_type::not_found && !listed) return;
    if (type == fs::file_type::directory && is_saved_dataset(path)) return take_dataset(path);
    if (type == fs::file_type::directory) return folders_.push_back(path);
    found_.problem = input_problem(path);
    found_.files.push_back(path);
  }

  void take_dataset(const fs::path& folder) {
    FileMatches dataset = files_of_dataset(folder);
    found_.problem = std::move(dataset.problem);
    std::ranges::move(dataset.files, std::back_inserter(found_.files));
  }

  /// `**`: this folder and all below it; at the end of a pattern the files in them.
  void match_any_depth(const fs::path& folder, std::size_t i) {
    if (!is_last(i)) match(folder, i + 1);
    for (const fs::path& entry : entries(folder)) {
      if (entry.filename().string().starts_with('.') || !found_.problem.empty()) continue;
      if (leads_nowhere(entry))
        found_.problem = dangling(entry);
      else if (is_folder(entry))
        descend(entry, i);
      else if (is_last(i))
        take_last(entry, true);
    }
  }

  /// Into a folder that is not open already: a link to one above would lead round in a circle.
  void descend(const fs::path& folder, std::size_t i) {
    std::error_code unreadable;
    const std::pair open(fs::canonical(folder.empty() ? "." : folder, unreadable), i);
    if (std::ranges::find(open_, open) != open_.end()) return;
    open_.push_back(open);
    match_any_depth(folder, i);
    open_.pop_back();
  }

  std::vector<fs::path> entries(const fs::path& folder) {
    std::vector<fs::path> all;
    std::error_code error;
    const fs::path opened = folder.empty() ? fs::path(".") : folder;
    for (fs::directory_iterator it(opened, error), end; !error && it != end; it.increment(error))
      all.push_back(folder / it->path().filename());
    if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory)
      found_.problem = fmt::format("{}: the folder cannot be read: {}", opened.string(), error.message());
    return all;
  }

  Components components_;
  FileMatches found_;
  std::vector<fs::path> folders_;
  std::vector<std::pair<fs::path, std::size_t>> open_;  // being walked, each with its component
};

}  // namespace

std::string input_problem(const fs::path& path) {
  const std::string name = path.string();
  if (leads_nowhere(path)) return dangling(path);
  const fs::file_type type = type_of(path);
  if (type == fs::file_type::not_found || type == fs::file_type::none)
    return name == "-"
               ? "-: standard input is not read, because inputs are read more than once; save it as a file"
               : name + " does not exist";
  if (type == fs::file_type::directory) return name + " is a folder, not a file";
  if (type != fs::file_type::regular)
    return name +
           " is a pipe, a socket or a device, which can be read once only; inputs are read more than once: "
           "save it as a file";
  return ::access(path.c_str(), R_OK) == 0 ? "" : name + " may not be read";
}

FileMatches match_files(const std::string& pattern) {
  std::error_code unreadable;
  if (!has_magic(pattern) || fs::exists(pattern, unreadable)) {
    if (is_folder(pattern) && is_saved_dataset(pattern)) return files_of_dataset(pattern);
    if (is_folder(pattern))
      return {{},
              fmt::format("{} is a folder; name its files, e.g. {}", pattern,
                          (fs::path(pattern) / "*.jsonl").string())};
    const std::string problem = input_problem(pattern);
    return problem.empty() ? FileMatches{{pattern}, ""} : FileMatches{{}, problem};
  }
  const Components components = components_of(pattern);
  for (const std::string& component : components)
    if (component != "**" && component.find("**") != std::string::npos)
      return {{},
              fmt::format("{}: `**` stands for any number of folders and must be a component of its own: "
                          "write **/{}",
                          pattern, component.substr(component.find("**") + 1))};
  Matcher matcher(components);
  FileMatches found = matcher.run();
  if (!found.problem.empty()) return {{}, fmt::format("{}: {}", pattern, found.problem)};
  if (!found.files.empty()) return found;
  if (matcher.folders().empty()) return {{}, pattern + " matches no file"};
  return {{},
          fmt::format("{} matches folders only ({}{}); name their files, e.g. {}", pattern,
                      matcher.folders().front().string(), matcher.folders().size() > 1 ? ", ..." : "",
                      (fs::path(pattern) / "*.jsonl").string())};
}

}  // namespace rocket
