#include "config/expand.h"

#include <fmt/format.h>

#include <cctype>
#include <cstdlib>

namespace rocket {
namespace {

bool is_variable_name(const std::string& name) {
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0]))) return false;
  for (const unsigned char c : name) {
    if (c != '_' && !(c < 128 && std::isalnum(c))) return false;
  }
  return true;
}

// `inside` is what stands between ${ and }.
void expand_one(const std::string& inside, Expansion& result) {
  const std::size_t colon = inside.find(":-");
  const std::string name = inside.substr(0, colon);
  if (!is_variable_name(name)) {
    result.problems.push_back(fmt::format(
        "'${{{}}}' names no environment variable; expected ${{VAR}} or ${{VAR:-default}}", inside));
    return;
  }
  const char* value = std::getenv(name.c_str());
  result.expanded = true;
  if (colon == std::string::npos) {
    if (value == nullptr) {
      result.problems.push_back(fmt::format(
          "environment variable {} is not set; set it or give a default: ${{{}:-...}}", name, name));
      return;
    }
    result.text += value;
    return;
  }
  const std::string fallback = inside.substr(colon + 2);
  if (fallback.find("${") != std::string::npos) {
    result.problems.push_back(
        fmt::format("the default of ${{{}}} holds another variable, which is not supported", name));
  }
  result.text += value != nullptr && *value != '\0' ? value : fallback;
}

}  // namespace

Expansion expand_variables(const std::string& text) {
  Expansion result;
  for (std::size_t i = 0; i < text.size();) {
    if (text.compare(i, 3, "$${") == 0) {
      result.text += "${";
      i += 3;
    } else if (text.compare(i, 2, "${") == 0) {
      const std::size_t end = text.find('}', i);
      if (end == std::string::npos) {
        result.problems.push_back("'${' without '}'; a plain ${ is written $${");
        return result;
      }
      expand_one(text.substr(i + 2, end - i - 2), result);
      i = end + 1;
    } else {
      result.text += text[i++];
    }
  }
  return result;
}

std::string escape_variables(const std::string& text) {
  std::string escaped;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 2, "${") == 0) escaped += '$';
    escaped += text[i];
  }
  return escaped;
}

}  // namespace rocket
