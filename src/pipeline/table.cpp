#include "pipeline/table.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "text/unicode.h"

namespace rocket {

using nlohmann::json;
using nlohmann::ordered_json;

namespace {

constexpr std::size_t widest_text = 72;
constexpr std::size_t name_width = 18;  // of the names of an object's values

std::string shown_number(double value) {
  if (value == 0) return "0";
  const double size = std::abs(value);
  return size >= 1e-3 && size < 1e6 ? fmt::format("{:.4f}", value) : fmt::format("{:.3e}", value);
}

/// Control characters would break the lines of a text table.
std::string escaped(const std::string& text) {
  std::string line;
  for (const char c : text) {
    if (c == '\n')
      line += "\\n";
    else if (static_cast<unsigned char>(c) < 0x20)
      line += ' ';
    else
      line += c;
  }
  return line;
}

std::string one_line(const std::string& text) {
  std::string line = escaped(text);
  if (line.size() <= widest_text) return line;
  std::size_t end = widest_text - 3;
  while (end > 0 && is_utf8_continuation(line[end])) --end;
  line.resize(end);
  line += "...";
  return line;
}

std::string shown(const json& value) {
  if (value.is_null()) return "-";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "";
  if (value.is_number_float()) return shown_number(value.get<double>());
  if (value.is_string()) return one_line(value.get<std::string>());
  return one_line(value.dump());
}

/// A value of an object, which has a line of its own: a text is whole, false is no empty place, and a list of
/// texts that one line would cut has a line for each text.
std::string shown_whole(const json& value) {
  if (value == false) return "no";
  if (value.is_string()) return escaped(value.get<std::string>());
  const bool texts =
      value.is_array() && std::ranges::all_of(value, [](const json& v) { return v.is_string(); });
  if (!texts || value.dump().size() <= widest_text) return shown(value);
  std::vector<std::string> lines;
  for (const json& line : value) lines.push_back(escaped(line.get<std::string>()));
  return fmt::format("{}", fmt::join(lines, fmt::format("\n{:{}}", "", name_width)));
}

std::string padded(const std::string& text, std::size_t width, bool right) {
  const std::size_t own = count_characters(text);
  const std::string space(width > own ? width - own : 0, ' ');
  return right ? fmt::format("{}{}", space, text) : fmt::format("{}{}", text, space);
}

std::string text_table(const Table& table) {
  std::vector<std::vector<std::string>> cells;
  std::vector<std::size_t> widths;
  std::vector<bool> numeric(table.columns.size(), true);
  for (const std::string& column : table.columns) widths.push_back(count_characters(column));
  for (const auto& row : table.rows) {
    auto& line = cells.emplace_back();
    for (std::size_t c = 0; c < row.size(); ++c) {
      line.push_back(shown(row[c]));
      widths[c] = std::max(widths[c], count_characters(line.back()));
      if (!row[c].is_number() && !row[c].is_null()) numeric[c] = false;
    }
  }
  cells.insert(cells.begin(), table.columns);
  std::string text;
  for (const auto& line : cells) {
    std::string shown_line;
    for (std::size_t c = 0; c < line.size(); ++c) {
      if (c > 0) shown_line += "  ";
      shown_line += padded(line[c], widths[c], numeric[c]);
    }
    shown_line.erase(shown_line.find_last_not_of(' ') + 1);
    text += fmt::format("{}\n", shown_line);
  }
  return text;
}

/// RFC 4180.
std::string csv_cell(const json& value) {
  if (value.is_null()) return "";
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  quoted += '"';
  return quoted;
}

std::string csv_table(const Table& table) {
  std::string text;
  const auto add_line = [&](const auto& cells) {
    for (std::size_t c = 0; c < cells.size(); ++c)
      text += fmt::format("{}{}", c > 0 ? "," : "", csv_cell(cells[c]));
    text += "\n";
  };
  add_line(table.columns);
  for (const auto& row : table.rows) add_line(row);
  return text;
}

/// UTF-8 that is broken in an input must not break the table.
std::string dump(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string json_table(const Table& table) {
  std::string text = "[";
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    ordered_json object = ordered_json::object();
    for (std::size_t c = 0; c < table.columns.size(); ++c) object[table.columns[c]] = table.rows[r][c];
    text += fmt::format("{}{}", r > 0 ? ",\n " : "", dump(object));
  }
  text += "]\n";
  return text;
}

}  // namespace

TableFormat table_format(const std::string& word) {
  if (word == "text") return TableFormat::text;
  if (word == "json") return TableFormat::json;
  if (word == "csv") return TableFormat::csv;
  fail(ExitCode::usage, "--format {}: one of text, json, csv", word);
}

std::string render(const Table& table, TableFormat format) {
  if (format == TableFormat::json) return json_table(table);
  return format == TableFormat::csv ? csv_table(table) : text_table(table);
}

std::string render(const ordered_json& object, TableFormat format) {
  if (format == TableFormat::json) return fmt::format("{}\n", dump(object));
  std::string text;
  for (const auto& [name, value] : object.items()) {
    const json plain = value;
    text += format == TableFormat::csv
                ? fmt::format("{},{}\n", csv_cell(name), csv_cell(plain))
                : fmt::format("{}{}\n", padded(name, name_width, false), shown_whole(plain));
  }
  return text;
}

}  // namespace rocket
