// JSON strings on stdin, one a line -> JSON arrays of ids; --decode the other way.
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/output.h"
#include "jobs.h"
#include "text/tokenizer.h"

namespace rocket {

namespace {

using nlohmann::json;

std::string ids_of(const Tokenizer& tokenizer, const json& line, bool plain) {
  const std::string text = line.get<std::string>();
  if (!plain) return json(tokenizer.ids_with_specials(text)).dump();
  std::vector<TokenId> ids;
  for (const Token& token : tokenizer.encode(text)) ids.push_back(token.id);
  return json(ids).dump();
}

std::string text_of(const Tokenizer& tokenizer, const json& line) {
  return json(tokenizer.decode(line.get<std::vector<TokenId>>(), false)).dump();
}

}  // namespace

void tokenize(const Command& command) {
  if (!std::filesystem::is_directory(command.target)) fail_config("{}: no such model folder", command.target);
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(command.target);
  std::int64_t number = 0;
  for (std::string line; std::getline(std::cin, line);) {
    ++number;
    try {
      const json value = json::parse(line);
      print_result((command.decode ? text_of(*tokenizer, value) : ids_of(*tokenizer, value, command.plain)) +
                   "\n");
    } catch (const json::exception&) {
      fail_data("stdin:{}: expected {} on each line", number,
                command.decode ? "a JSON array of ids" : "a JSON string");
    }
  }
}

}  // namespace rocket
