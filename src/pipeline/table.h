// Result tables: the same rows as text for people, JSON for programs, CSV for spreadsheets.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace rocket {

enum class TableFormat { text, json, csv };

/// Throws usage (64) for a word that is none of text, json, csv.
TableFormat table_format(const std::string& word);

/// `rows` are lists of values, one for each column.
struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<nlohmann::json>> rows;
};

/// JSON: a list of objects. Text: aligned columns, numbers to the right, long texts cut. Ends with a newline.
std::string render(const Table& table, TableFormat format);

/// One object: JSON as it is, text and CSV as lines "name value"; texts are not cut.
std::string render(const nlohmann::ordered_json& object, TableFormat format);

}  // namespace rocket
