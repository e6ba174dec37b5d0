#include "base/line_file.h"

#include <iostream>
#include <utility>

#include "base/error.h"

namespace rocket {

LineFile::LineFile(std::string path) : path_(std::move(path)) {
  if (path_.empty()) return;
  pending_.emplace(path_);
  file_.open(pending_->temporary(), std::ios::binary);
  check();
}

void LineFile::write(std::string_view line) {
  out() << line << '\n';
}

void LineFile::commit() {
  out().flush();
  check();
  if (!pending_) return;
  file_.close();
  pending_->commit();
}

std::ostream& LineFile::out() {
  return pending_ ? file_ : std::cout;
}

void LineFile::check() {
  if (!out()) fail_storage("{}: cannot be written", path_.empty() ? "stdout" : path_);
}

}  // namespace rocket
