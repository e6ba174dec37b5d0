#include "adapters/target.h"

#include <strings.h>

#include <algorithm>

namespace rocket {
namespace {

bool is_named(const AdapterConfig& config, const std::string& module) {
  if (config.target_is_regex) {
    const std::string& expression = config.target_modules.at(0);
    return strcasecmp(expression.c_str(), "all-linear") == 0 ||
           Regex("(?:" + expression + ")\\z", "adapter_config.json: target_modules").matches(module);
  }
  return std::ranges::any_of(config.target_modules, [&](const std::string& target) {
    return module == target || module.ends_with("." + target);
  });
}

}  // namespace

bool is_target(const AdapterConfig& config, const std::string& module) {
  return is_named(config, module) && !config.leaves_out(module);
}

}  // namespace rocket
