#include "pipeline/known_blocks.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "store/hdf5.h"

namespace rocket {

KnownBlocks::KnownBlocks(const std::vector<fs::path>& folders, const std::string& encoder,
                         std::int64_t dimension) {
  std::vector<fs::path> files;
  std::error_code absent;
  for (const fs::path& folder : folders) {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, absent)) {
      if (entry.path().extension() == ".h5") files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<std::string> unreadable;
  for (const fs::path& file : files) {
    try {
      add(file, encoder, dimension);
    } catch (const Error& e) {
      unreadable.push_back(e.what());
    }
  }
  if (!unreadable.empty())
    log::warn("embed: {} of {} earlier parts cannot be read, so their blocks are computed again: {}{}",
              unreadable.size(), files.size(), unreadable.front(), unreadable.size() > 1 ? ", ..." : "");
}

void KnownBlocks::add(const fs::path& file, const std::string& encoder, std::int64_t dimension) {
  const H5Reader part(file);
  if (part.attribute("encoder") != encoder) return;
  const std::vector<std::string> blocks = part.read_strings("block");
  const Shape shape = part.shape("embedding");
  const auto needed = (shape.at(0) + records_per_block - 1) / records_per_block;
  if (shape.size() != 2 || shape[1] != dimension || static_cast<std::int64_t>(blocks.size()) != needed)
    fail_data("{}: {} blocks for embeddings of another shape", file.string(), blocks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i)
    places_.emplace(blocks[i], Place{files_.size(), static_cast<std::int64_t>(i) * records_per_block});
  files_.push_back(file);
}

BlockRows KnownBlocks::read(const std::string& block, std::int64_t rows) const {
  const Place& place = places_.at(block);
  if (!whole_.contains(place.file)) {
    in_context("delete it, and its blocks are computed again", [&] { check_seal(files_[place.file]); });
    whole_.insert(place.file);
  }
  const H5Reader part(files_[place.file]);
  return {part.read_rows<float>("embedding", place.first_row, rows),
          part.read_rows<std::int64_t>("long_text", place.first_row, rows)};
}

}  // namespace rocket
