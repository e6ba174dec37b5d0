#include "config/document.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/files.h"

namespace rocket {
namespace {

void require_utf8(const std::string& text, const Source& source) {
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line); ++number) {
    try {
      nlohmann::json(line).dump();
    } catch (const nlohmann::json::exception&) {
      YAML::Mark mark;
      mark.line = number;
      fail_config("{}: not valid UTF-8", source.at(mark));
    }
  }
}

std::string line_of(const std::string& text, int number) {
  std::istringstream lines(text);
  std::string line;
  for (int i = 0; i <= number && std::getline(lines, line); ++i) {
  }
  return line;
}

// What yaml-cpp's message leaves open in the two cases that people meet.
const char* hint_for(const std::string& line) {
  if (line.substr(0, line.find_first_not_of(" \t")).find('\t') != std::string::npos) {
    return "; indent with spaces, not with tabs";
  }
  if (line.find("${") != std::string::npos) return "; inside [ ] and { } a ${VAR} needs quotes";
  return "";
}

// Listens to a parse and keeps nothing.
struct NoNodes : YAML::EventHandler {
  using Mark = YAML::Mark;
  using anchor_t = YAML::anchor_t;
  using Style = YAML::EmitterStyle::value;
  void OnDocumentStart(const Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const Mark&, anchor_t) override {}
  void OnAlias(const Mark&, anchor_t) override {}
  void OnScalar(const Mark&, const std::string&, anchor_t, const std::string&) override {}
  void OnSequenceStart(const Mark&, const std::string&, anchor_t, Style) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const Mark&, const std::string&, anchor_t, Style) override {}
  void OnMapEnd() override {}
};

// YAML::LoadAll does not end on some texts (",!n: r"), where yaml-cpp finds ever new documents; this stops at
// two.
bool has_second_document(const std::string& text) {
  std::istringstream in(text);
  YAML::Parser parser(in);
  NoNodes handler;
  return parser.HandleNextDocument(handler) && parser.HandleNextDocument(handler);
}

// Depth of what a configuration can hold; also ends a walk through an alias that contains itself.
constexpr int deepest = 16;

std::string flow(const YAML::Node& node, int depth) {
  if (depth > deepest) fail_config("a value is nested more than {} levels deep", deepest);
  switch (node.Type()) {
    case YAML::NodeType::Scalar:
      if (node.Tag() != "?") return nlohmann::json(node.Scalar()).dump();
      // Inside brackets a plain scalar ends at these, so it needs quotes there.
      if (depth > 0 && node.Scalar().find_first_of("[]{},:#\"'") != std::string::npos) {
        return nlohmann::json(node.Scalar()).dump();
      }
      return node.Scalar();
    case YAML::NodeType::Sequence: {
      std::string items;
      for (const auto& item : node) items += (items.empty() ? "" : ", ") + flow(item, depth + 1);
      return "[" + items + "]";
    }
    case YAML::NodeType::Map: {
      std::string items;
      for (const auto& item : node) {
        items +=
            (items.empty() ? "" : ", ") + flow(item.first, depth + 1) + ": " + flow(item.second, depth + 1);
      }
      return "{" + items + "}";
    }
    default:
      return "null";
  }
}

}  // namespace

std::string Source::at(const YAML::Mark& mark) const {
  return has_lines ? fmt::format("{}:{}", name, mark.line + 1) : name;
}

YAML::Node parse_yaml(const std::string& text, const Source& source) {
  require_utf8(text, source);
  try {
    if (has_second_document(text)) fail_config("{}: more than one YAML document", source.name);
    return YAML::Load(text);
  } catch (const YAML::Exception& e) {
    if (!source.has_lines) fail_config("{}: not a YAML value: {}{}", source.name, e.msg, hint_for(text));
    fail_config("{}:{}: not YAML: {}{}", source.at(e.mark), e.mark.column + 1, e.msg,
                hint_for(line_of(text, e.mark.line)));
  }
}

YAML::Node parse_yaml_file(const fs::path& file) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  if (!fs::exists(status)) fail_config("{}: no such file", file.string());
  if (fs::is_directory(status)) fail_config("{}: a folder, where a YAML file is expected", file.string());
  std::string text;
  try {
    text = read_file(file);
  } catch (const Error& e) {
    fail_config("{}", e.what());
  }
  const YAML::Node root = parse_yaml(text, {file.string()});
  if (root.IsNull()) fail_config("{}: empty; a configuration sets at least one key", file.string());
  if (!root.IsMap()) {
    fail_config("{}:1: expected a mapping of keys to values, found {}", file.string(), found_text(root));
  }
  return root;
}

void for_each_key(const YAML::Node& mapping, const Source& source, const std::string& section,
                  Problems& problems,
                  const std::function<void(const std::string& key, const YAML::Node& value,
                                           const std::string& where)>& use) {
  std::map<std::string, int> first_line;
  for (const auto& pair : mapping) {
    const std::string where = source.at(pair.first.Mark());
    if (!pair.first.IsScalar()) {
      problems.add(where, section, fmt::format("a key must be text, found {}", found_text(pair.first)));
      continue;
    }
    const std::string name = pair.first.Scalar();
    const std::string key = section.empty() ? name : section + "." + name;
    const auto [first, is_new] = first_line.try_emplace(name, pair.first.Mark().line + 1);
    if (!is_new) {
      const std::string place = source.has_lines ? fmt::format(" (first in line {})", first->second) : "";
      problems.add(where, key, "set twice" + place);
      continue;
    }
    use(key, pair.second, where);
  }
}

std::string found_text(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Scalar: {
      const std::string& text = node.Scalar();
      return text.size() <= 80 ? "'" + text + "'" : fmt::format("a text of {} bytes", text.size());
    }
    case YAML::NodeType::Sequence:
      return "a list";
    case YAML::NodeType::Map:
      return "a mapping";
    default:
      return "nothing";
  }
}

std::string to_flow(const YAML::Node& node) {
  return flow(node, 0);
}

std::string quote_text(const std::string& text) {
  // Readers of YAML 1.1 take these for booleans or null.
  static constexpr std::array reserved = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"};
  static constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  const bool plain = !text.empty() && (letters.find(text[0]) != std::string_view::npos || text[0] == '/') &&
                     text.find_first_not_of(std::string(letters) + "0123456789./-") == std::string::npos &&
                     std::find(reserved.begin(), reserved.end(), lower) == reserved.end();
  return plain ? text : nlohmann::json(text).dump();
}

}  // namespace rocket
