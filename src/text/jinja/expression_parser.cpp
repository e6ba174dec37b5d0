#include "text/jinja/expression_parser.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace rocket::jinja {
namespace {

/// Brackets in brackets, blocks in blocks. A template that people write has about ten.
constexpr int kMaxNesting = 100;
/// Of one expression, links of a chain a + b + c included.
constexpr int kMaxHeight = 200;

std::string shown(const Lexeme& token) {
  switch (token.kind) {
    case TokenKind::end:
      return "the end of the template";
    case TokenKind::data:
      return "text";
    case TokenKind::begin_print:
      return "'{{'";
    case TokenKind::begin_tag:
      return "'{%'";
    case TokenKind::text:
      return "a text in quotes";
    default:
      return fmt::format("'{}'", token.text);
  }
}

int height_of(const ExpressionPtr& expression) {
  return expression ? expression->height : 0;
}

int height_of(const ArgumentList& list) {
  int height = std::max(height_of(list.more_positional), height_of(list.more_named));
  for (const ExpressionPtr& argument : list.positional) height = std::max(height, height_of(argument));
  for (const auto& [name, argument] : list.named) height = std::max(height, height_of(argument));
  return height;
}

template <class Node>
std::unique_ptr<Node> placed(Place place) {
  auto node = std::make_unique<Node>();
  node->place = place;
  return node;
}

template <class Node>
std::unique_ptr<const Node> finished(std::unique_ptr<Node> node, std::initializer_list<int> heights) {
  node->height = 1 + std::max(heights);
  if (node->height > kMaxHeight) throw Problem("the expression has too many parts in a row", node->place);
  return node;
}

ExpressionPtr constant(Value value, Place place) {
  auto node = placed<Constant>(place);
  node->constant = std::move(value);
  return node;
}

}  // namespace

Nesting::Nesting(int& depth, Place place) : depth_(depth) {
  if (depth_ >= kMaxNesting)
    throw Problem(fmt::format("more than {} levels of brackets and blocks", kMaxNesting), place);
  ++depth_;
}

Lexeme Tokens::take() {
  return at_ + 1 < all_.size() ? std::move(all_[at_++]) : all_[at_];
}

bool Tokens::takes_sign(std::string_view sign) {
  if (!now().is_sign(sign)) return false;
  take();
  return true;
}

bool Tokens::takes_name(std::string_view name) {
  if (!now().is_name(name)) return false;
  take();
  return true;
}

void Tokens::fail_here(std::string_view expected) const {
  throw Problem(fmt::format("expected {}, found {}", expected, shown(now())), now().place);
}

void Tokens::expect_sign(std::string_view sign) {
  if (!takes_sign(sign)) fail_here(fmt::format("'{}'", sign));
}

void Tokens::expect_name(std::string_view name) {
  if (!takes_name(name)) fail_here(fmt::format("'{}'", name));
}

std::string Tokens::any_name() {
  if (now().kind != TokenKind::name) fail_here("a name");
  return take().text;
}

void Tokens::expect(TokenKind kind, std::string_view what) {
  if (now().kind != kind) fail_here(what);
  take();
}

ExpressionPtr ExpressionParser::expression(bool with_condition) {
  const Nesting nesting(depth_, tokens_.now().place);
  ExpressionPtr value = either();
  while (with_condition && tokens_.now().is_name("if")) {
    auto node = placed<Conditional>(tokens_.take().place);
    node->then = std::move(value);
    node->test = either();
    if (tokens_.takes_name("else")) node->otherwise = expression();
    const auto heights = {height_of(node->then), height_of(node->test), height_of(node->otherwise)};
    value = finished(std::move(node), heights);
  }
  return value;
}

ExpressionPtr ExpressionParser::either() {
  ExpressionPtr left = both();
  while (tokens_.now().is_name("or")) {
    auto node = placed<Logic>(tokens_.take().place);
    node->is_and = false;
    node->left = std::move(left);
    node->right = both();
    const auto heights = {height_of(node->left), height_of(node->right)};
    left = finished(std::move(node), heights);
  }
  return left;
}

ExpressionPtr ExpressionParser::both() {
  ExpressionPtr left = negation();
  while (tokens_.now().is_name("and")) {
    auto node = placed<Logic>(tokens_.take().place);
    node->left = std::move(left);
    node->right = negation();
    const auto heights = {height_of(node->left), height_of(node->right)};
    left = finished(std::move(node), heights);
  }
  return left;
}

ExpressionPtr ExpressionParser::negation() {
  if (!tokens_.now().is_name("not")) return comparison();
  auto node = placed<Not>(tokens_.take().place);
  const Nesting nesting(depth_, node->place);
  node->inner = negation();
  const auto heights = {height_of(node->inner)};
  return finished(std::move(node), heights);
}

ExpressionPtr ExpressionParser::comparison() {
  static constexpr std::array<std::string_view, 6> kSigns = {"==", "!=", "<=", ">=", "<", ">"};
  auto node = placed<Comparison>(tokens_.now().place);
  node->first = sum();
  int height = height_of(node->first);
  while (true) {
    const Lexeme& now = tokens_.now();
    std::string sign;
    if (now.kind == TokenKind::sign && std::ranges::count(kSigns, now.text) > 0)
      sign = tokens_.take().text;
    else if (tokens_.takes_name("in"))
      sign = "in";
    else if (now.is_name("not") && tokens_.ahead().is_name("in"))
      sign = "not in", tokens_.take(), tokens_.take();
    else
      break;
    ExpressionPtr operand = sum();
    height = std::max(height, height_of(operand));
    node->rest.emplace_back(std::move(sign), std::move(operand));
  }
  if (node->rest.empty()) return std::move(node->first);
  return finished(std::move(node), {height});
}

ExpressionPtr ExpressionParser::arithmetic(std::initializer_list<std::string_view> signs,
                                           ExpressionPtr (ExpressionParser::*operand)()) {
  ExpressionPtr left = (this->*operand)();
  while (tokens_.now().kind == TokenKind::sign && std::ranges::count(signs, tokens_.now().text) > 0) {
    const Lexeme sign = tokens_.take();
    auto node = placed<Arithmetic>(sign.place);
    node->sign = sign.text;
    node->left = std::move(left);
    node->right = (this->*operand)();
    const auto heights = {height_of(node->left), height_of(node->right)};
    left = finished(std::move(node), heights);
  }
  return left;
}

ExpressionPtr ExpressionParser::sum() {
  return arithmetic({"+", "-"}, &ExpressionParser::concatenation);
}

ExpressionPtr ExpressionParser::concatenation() {
  auto node = placed<Concatenation>(tokens_.now().place);
  int height = 0;
  do {
    node->parts.push_back(product());
    height = std::max(height, height_of(node->parts.back()));
  } while (tokens_.takes_sign("~"));
  if (node->parts.size() == 1) return std::move(node->parts.front());
  return finished(std::move(node), {height});
}

ExpressionPtr ExpressionParser::product() {
  return arithmetic({"*", "/", "//", "%"}, &ExpressionParser::power);
}

ExpressionPtr ExpressionParser::power() {
  ExpressionPtr left = unary();
  while (tokens_.now().is_sign("**")) {
    auto node = placed<Arithmetic>(tokens_.take().place);
    node->sign = "**";
    node->left = std::move(left);
    node->right = unary();
    const auto heights = {height_of(node->left), height_of(node->right)};
    left = finished(std::move(node), heights);
  }
  return left;
}

ExpressionPtr ExpressionParser::unary(bool with_filters) {
  ExpressionPtr value;
  if (tokens_.now().is_sign("-") || tokens_.now().is_sign("+")) {
    const Lexeme sign = tokens_.take();
    const Nesting nesting(depth_, sign.place);
    auto node = placed<Signed>(sign.place);
    node->minus = sign.text == "-";
    node->inner = unary(false);
    const auto heights = {height_of(node->inner)};
    value = finished(std::move(node), heights);
  } else {
    value = primary();
  }
  value = postfix(std::move(value));
  return with_filters ? filtered(std::move(value)) : std::move(value);
}

ExpressionPtr ExpressionParser::primary() {
  const Lexeme& now = tokens_.now();
  if (now.kind == TokenKind::name) return name();
  if (now.kind == TokenKind::text) return literal_text();
  if (now.kind == TokenKind::integer || now.kind == TokenKind::floating) return number();
  if (now.is_sign("(")) return bracketed();
  if (now.is_sign("[")) return list();
  if (now.is_sign("{")) return dict();
  tokens_.fail_here("an expression");
}

ExpressionPtr ExpressionParser::name() {
  const Lexeme token = tokens_.take();
  const std::string& word = token.text;
  if (word == "true" || word == "True") return constant(true, token.place);
  if (word == "false" || word == "False") return constant(false, token.place);
  if (word == "none" || word == "None") return constant(nullptr, token.place);
  names_.push_back(word);
  auto node = placed<Name>(token.place);
  node->name = word;
  return node;
}

ExpressionPtr ExpressionParser::literal_text() {
  const Place place = tokens_.now().place;
  std::string text;
  while (tokens_.now().kind == TokenKind::text) text += tokens_.take().text;
  return constant(std::move(text), place);
}

ExpressionPtr ExpressionParser::number() {
  const Lexeme token = tokens_.take();
  const char *begin = token.text.data(), *end = begin + token.text.size();
  if (token.kind == TokenKind::floating) {
    double value = 0;
    std::from_chars(begin, end, value);
    return constant(value, token.place);
  }
  std::int64_t value = 0;
  if (std::from_chars(begin, end, value).ec != std::errc())
    throw Problem(fmt::format("the number {} is beyond 64 bits", token.text), token.place);
  return constant(value, token.place);
}

bool ExpressionParser::at_tuple_end(std::string_view end) const {
  const Lexeme& now = tokens_.now();
  return now.kind == TokenKind::end_print || now.kind == TokenKind::end_tag || now.is_sign(")") ||
         (!end.empty() && now.is_name(end));
}

ExpressionPtr ExpressionParser::tuple(bool with_condition, std::string_view end) {
  auto node = placed<ListOf>(tokens_.now().place);
  node->shape = Shape::tuple;
  int height = 0;
  bool is_tuple = false;
  do {
    if (at_tuple_end(end)) break;
    node->items.push_back(expression(with_condition));
    height = std::max(height, height_of(node->items.back()));
    is_tuple = is_tuple || tokens_.now().is_sign(",");
  } while (tokens_.takes_sign(","));
  if (!is_tuple && node->items.size() == 1) return std::move(node->items.front());
  if (node->items.empty() && !tokens_.now().is_sign(")")) tokens_.fail_here("an expression");
  return finished(std::move(node), {height});
}

ExpressionPtr ExpressionParser::bracketed() {
  tokens_.expect_sign("(");
  ExpressionPtr value = tuple();
  tokens_.expect_sign(")");
  return value;
}

ExpressionPtr ExpressionParser::list() {
  auto node = placed<ListOf>(tokens_.take().place);
  int height = 0;
  while (!tokens_.now().is_sign("]")) {
    if (!node->items.empty()) tokens_.expect_sign(",");
    if (tokens_.now().is_sign("]")) break;
    node->items.push_back(expression());
    height = std::max(height, height_of(node->items.back()));
  }
  tokens_.expect_sign("]");
  return finished(std::move(node), {height});
}

ExpressionPtr ExpressionParser::dict() {
  auto node = placed<DictOf>(tokens_.take().place);
  int height = 0;
  while (!tokens_.now().is_sign("}")) {
    if (!node->members.empty()) tokens_.expect_sign(",");
    if (tokens_.now().is_sign("}")) break;
    ExpressionPtr key = expression();
    tokens_.expect_sign(":");
    ExpressionPtr value = expression();
    height = std::max({height, height_of(key), height_of(value)});
    node->members.emplace_back(std::move(key), std::move(value));
  }
  tokens_.expect_sign("}");
  return finished(std::move(node), {height});
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr inner) {
  while (true) {
    if (tokens_.now().is_sign("."))
      inner = member(std::move(inner));
    else if (tokens_.now().is_sign("["))
      inner = subscript(std::move(inner));
    else if (tokens_.now().is_sign("("))
      inner = call(std::move(inner));
    else
      return inner;
  }
}

ExpressionPtr ExpressionParser::filtered(ExpressionPtr inner) {
  while (true) {
    if (tokens_.takes_sign("|"))
      inner = filter(std::move(inner));
    else if (tokens_.now().is_name("is"))
      inner = test(std::move(inner));
    else if (tokens_.now().is_sign("("))
      inner = call(std::move(inner));
    else
      return inner;
  }
}

ExpressionPtr ExpressionParser::member(ExpressionPtr object) {
  const Place place = tokens_.take().place;
  if (tokens_.now().kind == TokenKind::integer) {
    auto node = placed<Subscript>(place);
    node->object = std::move(object);
    node->key = number();
    const auto heights = {height_of(node->object)};
    return finished(std::move(node), heights);
  }
  auto node = placed<Member>(place);
  node->object = std::move(object);
  node->name = tokens_.any_name();
  const auto heights = {height_of(node->object)};
  return finished(std::move(node), heights);
}

ExpressionPtr ExpressionParser::slice(ExpressionPtr object, ExpressionPtr begin, Place place) {
  auto node = placed<Slice>(place);
  node->object = std::move(object);
  node->begin = std::move(begin);
  tokens_.expect_sign(":");
  if (!tokens_.now().is_sign(":") && !tokens_.now().is_sign("]")) node->end = expression();
  if (tokens_.takes_sign(":") && !tokens_.now().is_sign("]")) node->step = expression();
  tokens_.expect_sign("]");
  const auto heights = {height_of(node->object), height_of(node->begin), height_of(node->end),
                        height_of(node->step)};
  return finished(std::move(node), heights);
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr object) {
  const Place place = tokens_.take().place;
  if (tokens_.now().is_sign(":")) return slice(std::move(object), nullptr, place);
  ExpressionPtr key = expression();
  if (tokens_.now().is_sign(":")) return slice(std::move(object), std::move(key), place);
  if (tokens_.now().is_sign(",")) tokens_.fail_here("']': subscripts of several values are not known");
  tokens_.expect_sign("]");
  auto node = placed<Subscript>(place);
  node->object = std::move(object);
  node->key = std::move(key);
  const auto heights = {height_of(node->object), height_of(node->key)};
  return finished(std::move(node), heights);
}

void ExpressionParser::argument(ArgumentList& list) {
  const Lexeme& now = tokens_.now();
  const bool named = now.kind == TokenKind::name && tokens_.ahead().is_sign("=");
  const bool positional = !named && !now.is_sign("*") && !now.is_sign("**");
  if (list.more_named || (list.more_positional && (positional || now.is_sign("*"))) ||
      (positional && !list.named.empty()))
    tokens_.fail_here("')': arguments by place come first, then those by name");
  if (tokens_.takes_sign("*")) {
    list.more_positional = expression();
  } else if (tokens_.takes_sign("**")) {
    list.more_named = expression();
  } else if (named) {
    std::string name = tokens_.take().text;
    tokens_.expect_sign("=");
    list.named.emplace_back(std::move(name), expression());
  } else {
    list.positional.push_back(expression());
  }
}

ArgumentList ExpressionParser::arguments() {
  ArgumentList list;
  tokens_.expect_sign("(");
  for (bool first = true; !tokens_.now().is_sign(")"); first = false) {
    if (!first) tokens_.expect_sign(",");
    if (tokens_.now().is_sign(")")) break;
    argument(list);
  }
  tokens_.expect_sign(")");
  return list;
}

ExpressionPtr ExpressionParser::call(ExpressionPtr callee) {
  auto node = placed<Call>(tokens_.now().place);
  node->callee = std::move(callee);
  node->arguments = arguments();
  const auto heights = {height_of(node->callee), height_of(node->arguments)};
  return finished(std::move(node), heights);
}

std::unique_ptr<const Filter> ExpressionParser::filter(ExpressionPtr input) {
  auto node = placed<Filter>(tokens_.now().place);
  node->name = tokens_.any_name();
  if (tokens_.now().is_sign(".")) tokens_.fail_here("a filter: names with dots are not known");
  if (tokens_.now().is_sign("(")) node->arguments = arguments();
  node->input = std::move(input);
  const auto heights = {height_of(node->input), height_of(node->arguments)};
  return finished(std::move(node), heights);
}

std::vector<std::unique_ptr<const Filter>> ExpressionParser::filters() {
  std::vector<std::unique_ptr<const Filter>> all;
  while (tokens_.takes_sign("|")) all.push_back(filter(nullptr));
  return all;
}

ExpressionPtr ExpressionParser::test(ExpressionPtr input) {
  const Place place = tokens_.take().place;
  const bool negated = tokens_.takes_name("not");
  auto node = placed<Test>(place);
  node->input = std::move(input);
  node->name = tokens_.any_name();
  const Lexeme& now = tokens_.now();
  const bool begins_value = now.kind == TokenKind::name || now.kind == TokenKind::text ||
                            now.kind == TokenKind::integer || now.kind == TokenKind::floating ||
                            now.is_sign("[") || now.is_sign("{");
  if (now.is_sign("(")) {
    node->arguments = arguments();
  } else if (begins_value && !now.is_name("else") && !now.is_name("or") && !now.is_name("and")) {
    if (now.is_name("is")) tokens_.fail_here("the end of the test: two of them in a row");
    node->arguments.positional.push_back(postfix(primary()));
  }
  const auto heights = {height_of(node->input), height_of(node->arguments)};
  ExpressionPtr done = finished(std::move(node), heights);
  if (!negated) return done;
  auto inverse = placed<Not>(place);
  inverse->inner = std::move(done);
  const auto height = {height_of(inverse->inner)};
  return finished(std::move(inverse), height);
}

}  // namespace rocket::jinja
