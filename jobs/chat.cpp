// Chats on stdin, one a line -> what the base's chat template makes of each.
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/output.h"
#include "jobs.h"
#include "pipeline/options.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace rocket {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

/// A list of messages, or an object with them and whatever else the template reads.
ordered_json variables_in(const std::string& line, std::int64_t number) {
  ordered_json value = ordered_json::parse(line, nullptr, false);
  if (value.is_array()) value = {{"messages", std::move(value)}};
  if (!value.is_object() || !value.contains("messages"))
    fail_data("stdin:{}: expected a JSON list of messages, or an object with 'messages', on each line",
              number);
  if (!value.contains("add_generation_prompt")) value["add_generation_prompt"] = true;
  return value;
}

}  // namespace

void chat(const ChatRequest& request) {
  if (!std::filesystem::is_directory(request.model)) fail_config("{}: no such model folder", request.model);
  ChatOptions options;
  if (request.date) options.now = day_in("--date", *request.date);
  const ChatTemplate own(request.model, std::move(options));
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(request.model);
  std::int64_t number = 0;
  for (std::string line; std::getline(std::cin, line);) {
    const ordered_json variables = variables_in(line, ++number);
    json result;
    try {
      const std::string text = own.render(variables);
      std::vector<TokenId> ids;
      for (const Token& token : tokenizer->encode(text)) ids.push_back(token.id);
      result = {{"text", text}, {"ids", std::move(ids)}};
    } catch (const Error& e) {
      if (e.code() != ExitCode::data) throw;
      result = {{"error", e.what()}};
    }
    print_result(result.dump() + "\n");
  }
}

}  // namespace rocket
