// The layout in which Hugging Face's tools keep what they download:
// HUB/models--ORG--NAME/{blobs, refs/main, snapshots/REVISION}.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace rocket {

/// Components of a path, absolute, from the root on. In the cache a snapshot counts as ORG, NAME.
std::vector<std::string> logical_components(const std::filesystem::path& path);

/// A folder models--ORG--NAME with snapshots in it.
bool is_cached_repository(const std::filesystem::path& folder);

/// Its snapshots, sorted.
std::vector<std::filesystem::path> snapshots_of(const std::filesystem::path& repository);

/// The snapshot that refs/main names or, without that, the only one. Nothing where neither decides.
std::optional<std::filesystem::path> current_snapshot(const std::filesystem::path& repository);

/// Where this user's cache keeps the repository "ORG/NAME": HF_HUB_CACHE, HF_HOME/hub or
/// ~/.cache/huggingface/hub. Nothing where it does not.
std::optional<std::filesystem::path> cached_repository(const std::string& name);

/// What a link points to that is not there; nothing for everything else.
std::optional<std::filesystem::path> broken_link(const std::filesystem::path& path);

}  // namespace rocket
