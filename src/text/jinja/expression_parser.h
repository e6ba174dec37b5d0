// Tokens to expressions, with the precedence of Jinja 3.1.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "text/jinja/lexer.h"
#include "text/jinja/syntax.h"

namespace rocket::jinja {

/// The tokens of a template, one after the other.
class Tokens {
 public:
  explicit Tokens(std::vector<Lexeme> all) : all_(std::move(all)) {}

  const Lexeme& now() const { return all_[at_]; }
  const Lexeme& ahead() const { return all_[std::min(at_ + 1, all_.size() - 1)]; }
  Lexeme take();
  bool takes_sign(std::string_view sign);
  bool takes_name(std::string_view name);
  /// Throw a Problem with the place of what stands there instead.
  void expect_sign(std::string_view sign);
  void expect_name(std::string_view name);
  std::string any_name();
  void expect(TokenKind kind, std::string_view what);
  [[noreturn]] void fail_here(std::string_view expected) const;

 private:
  std::vector<Lexeme> all_;
  std::size_t at_ = 0;
};

/// While it lives, the text is read one level deeper. Throws a Problem where there are too many.
class Nesting {
 public:
  Nesting(int& depth, Place place);
  ~Nesting() { --depth_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  int& depth_;
};

class ExpressionParser {
 public:
  explicit ExpressionParser(Tokens& tokens) : tokens_(tokens) {}

  ExpressionPtr expression(bool with_condition = true);
  /// An expression, or a tuple without brackets: a, b. `end`: a name behind which it may end with a comma.
  ExpressionPtr tuple(bool with_condition = true, std::string_view end = "");
  /// | a | b(c), as far as there are any.
  std::vector<std::unique_ptr<const Filter>> filters();
  std::unique_ptr<const Filter> filter(ExpressionPtr input);

  /// The names that have been read since the last call: a macro looks for caller, varargs and kwargs in them.
  std::vector<std::string>& names() { return names_; }
  int& depth() { return depth_; }

 private:
  ExpressionPtr either();
  ExpressionPtr both();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr power();
  ExpressionPtr unary(bool with_filters = true);
  ExpressionPtr primary();
  ExpressionPtr name();
  ExpressionPtr literal_text();
  ExpressionPtr number();
  ExpressionPtr bracketed();
  ExpressionPtr list();
  ExpressionPtr dict();
  ExpressionPtr postfix(ExpressionPtr inner);
  ExpressionPtr filtered(ExpressionPtr inner);
  ExpressionPtr member(ExpressionPtr object);
  ExpressionPtr subscript(ExpressionPtr object);
  ExpressionPtr slice(ExpressionPtr object, ExpressionPtr begin, Place place);
  ExpressionPtr call(ExpressionPtr callee);
  ExpressionPtr test(ExpressionPtr input);
  ArgumentList arguments();
  void argument(ArgumentList& list);
  bool at_tuple_end(std::string_view end) const;
  ExpressionPtr arithmetic(std::initializer_list<std::string_view> signs,
                           ExpressionPtr (ExpressionParser::*operand)());

  Tokens& tokens_;
  std::vector<std::string> names_;
  int depth_ = 0;
};

}  // namespace rocket::jinja
