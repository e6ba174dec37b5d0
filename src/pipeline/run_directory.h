// Where things are in a run directory: docs/interface.md section 3.
#pragma once

#include <filesystem>
#include <string>

namespace rocket {

namespace fs = std::filesystem;

/// What a job that trains leaves.
struct TrainingFiles {
  fs::path checkpoints;   // folder
  fs::path record;        // training.h5: docs/interface.md section 4
  fs::path rates;         // what evaluation.tune found
  fs::path rates_folder;  // while the rates are tried
};

class RunDirectory {
 public:
  /// `generation`: which of the generations of this run `generate` means; they have folders of their own.
  explicit RunDirectory(fs::path root, std::string generation = "")
      : root_(std::move(root)), generation_(std::move(generation)) {}

  const fs::path& root() const { return root_; }
  fs::path file(const std::string& name) const { return root_ / name; }
  /// True if a job has been started here, whatever of its records is left.
  bool has_records() const {
    return fs::exists(manifest()) || fs::exists(root_ / "config.yaml") || fs::exists(root_ / "parts");
  }
  fs::path manifest() const { return root_ / "manifest.json"; }
  /// What a job leaves while it is under way, and its own record job.json.
  fs::path parts(const std::string& job) const {
    return job == "generate" ? root_ / "parts" / job / generation_ : root_ / "parts" / job;
  }
  /// The name under which a process says that it computes the job: base/claim.h.
  std::string claim(const std::string& job) const {
    return job == "generate" ? job + "-" + generation_ : job;
  }
  /// Parts of an earlier computation of the job, set aside until the present one is finished.
  fs::path parts_before(const std::string& job) const { return parts(job) / "before"; }
  fs::path record(const std::string& job) const { return parts(job) / "job.json"; }
  fs::path checkpoints() const { return root_ / "checkpoints"; }
  TrainingFiles expert_training() const {
    return {checkpoints(), file("training.h5"), file("rates.h5"), file("rates")};
  }
  /// Of one of `tuned_rivals`.
  TrainingFiles rival_training(const std::string& rival) const {
    const fs::path folder = root_ / "rivals" / rival;
    return {folder / "checkpoints", folder / "training.h5", folder / "rates.h5", folder / "rates"};
  }
  /// Who works here at this moment: base/claim.h.
  fs::path claims() const { return root_ / ".claims"; }
  fs::path events() const { return root_ / "events"; }
  fs::path expert() const { return root_ / "expert"; }

 private:
  fs::path root_;
  std::string generation_;
};

}  // namespace rocket
