// A folder that appears whole: written beside its place, then moved there.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace rocket {

/// Writes the list of what lies in the folder, by which a later export knows what it may replace there.
void list_entries(const std::filesystem::path& folder);

/// The files that an export wrote into the folder, also below it; sorted.
std::vector<std::filesystem::path> exported_files(const std::filesystem::path& folder);

/// Removes what an export wrote into the folder, and the folder if nothing else is in it. Absent is fine.
/// Throws config (78) if there is something in it and no export wrote there.
void clear_export(const std::filesystem::path& folder);

class ExportFolder {
 public:
  /// `last`: the entry whose presence says that the folder is complete ("mixture.json"); may be empty.
  ExportFolder(std::filesystem::path target, std::string last);
  ~ExportFolder();
  ExportFolder(const ExportFolder&) = delete;
  ExportFolder& operator=(const ExportFolder&) = delete;

  /// Where to write.
  const std::filesystem::path& temporary() const { return temporary_; }

  /// Moves everything to the target. What an earlier export left there is replaced, other entries stay
  /// (exports of another form may lie inside). Throws config (78) if an entry is in the way that no export
  /// wrote, storage (74) if the file system refuses.
  void commit();

 private:
  void replace_entries(const std::vector<std::string>& entries);

  std::filesystem::path target_, temporary_;
  std::string last_;
};

}  // namespace rocket
