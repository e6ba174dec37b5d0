// A template as tokens, with the white space that its marks take away gone: Jinja 3.1 with trim_blocks and
// lstrip_blocks, as transformers sets it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/problem.h"

namespace rocket::jinja {

enum class TokenKind {
  data,
  begin_print,
  end_print,
  begin_tag,
  end_tag,
  name,
  text,
  integer,
  floating,
  sign,
  end
};

struct Lexeme {
  TokenKind kind = TokenKind::end;
  std::string text;  // of a text what it means, else as it is written
  Place place;

  bool is_sign(std::string_view which) const { return kind == TokenKind::sign && text == which; }
  bool is_name(std::string_view which) const { return kind == TokenKind::name && text == which; }
};

/// The last one is `end`. Throws a Problem with its place: a mark that is not closed, a character that begins
/// nothing.
std::vector<Lexeme> lex(std::string_view source);

}  // namespace rocket::jinja
