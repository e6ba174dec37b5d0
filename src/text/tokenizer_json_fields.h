// Fields of tokenizer.json. `part` is the path to the object inside the file; every function throws data (65)
// "<part>.<key>: expected ..., found ...".
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "text/tokenizer.h"

namespace rocket {

const nlohmann::json& member(const nlohmann::json& object, const std::string& key, const std::string& part);
/// Not there, or null.
bool is_absent(const nlohmann::json& object, const std::string& key);

std::string string_of(const nlohmann::json& value, const std::string& part);
std::string string_at(const nlohmann::json& object, const std::string& key, const std::string& part);
bool flag_at(const nlohmann::json& object, const std::string& key, bool absent, const std::string& part);
TokenId id_of(const nlohmann::json& value, const std::string& part);
const nlohmann::json& list_of(const nlohmann::json& value, const std::string& part);
/// A string of one character.
std::string mark_at(const nlohmann::json& object, const std::string& key, const std::string& part);
std::size_t count_at(const nlohmann::json& object, const std::string& key, const std::string& part);

}  // namespace rocket
