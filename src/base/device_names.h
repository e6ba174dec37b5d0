// What `device:` and --device may say.
#pragma once

#include <string>
#include <vector>

namespace rocket {

/// The program knows these three. A test library adds the name of its device before main().
inline std::vector<std::string>& device_names() {
  static std::vector<std::string> names{"auto", "cpu", "cuda"};
  return names;
}

}  // namespace rocket
