#include "text/jinja/parser.h"

#include <algorithm>
#include <initializer_list>

#include "text/jinja/expression_parser.h"

namespace rocket::jinja {
namespace {

using Ends = std::initializer_list<std::string_view>;
using StatementPtr = std::unique_ptr<const Statement>;

template <class Node>
std::unique_ptr<Node> statement_at(Place place) {
  auto node = std::make_unique<Node>();
  node->place = place;
  return node;
}

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(lex(source)), expressions_(tokens_) {}

  Body all() {
    Body body = statements({});
    if (tokens_.now().kind != TokenKind::end) tokens_.fail_here("text or a tag");
    return body;
  }

 private:
  /// Up to a tag that begins with one of `ends`, which is the next token then.
  Body statements(Ends ends) {
    const Place begin = tokens_.now().place;
    const Nesting nesting(expressions_.depth(), begin);
    Body body;
    while (tokens_.now().kind != TokenKind::end) {
      const Lexeme token = tokens_.take();
      if (token.kind == TokenKind::data) {
        auto text = statement_at<PlainText>(token.place);
        text->text = token.text;
        body.push_back(std::move(text));
      } else if (token.kind == TokenKind::begin_print) {
        auto print = statement_at<Print>(token.place);
        print->expression = expressions_.tuple();
        tokens_.expect(TokenKind::end_print, "'}}'");
        body.push_back(std::move(print));
      } else {
        if (std::ranges::any_of(ends, [&](std::string_view end) { return tokens_.now().is_name(end); }))
          return body;
        for (StatementPtr& tag : tags()) body.push_back(std::move(tag));
      }
    }
    if (ends.size() > 0)
      throw Problem(fmt::format("the template ends where {{% {} %}} was expected", *(ends.end() - 1)), begin);
    return body;
  }

  /// Behind the name and arguments of a tag: its body, and the tag that ends it.
  Body block(Ends ends) {
    tokens_.takes_sign(":");
    tokens_.expect(TokenKind::end_tag, "'%}'");
    return statements(ends);
  }
  Body block_to(std::string_view end) {
    Body body = block({end});
    tokens_.expect_name(end);
    return body;
  }

  std::vector<StatementPtr> tags() {
    const Lexeme tag = tokens_.take();
    std::vector<StatementPtr> made;
    if (tag.kind == TokenKind::name && tag.text == "print")
      prints(tag.place, made);
    else
      made.push_back(statement(tag));
    tokens_.expect(TokenKind::end_tag, "'%}'");
    return made;
  }

  StatementPtr statement(const Lexeme& tag) {
    if (tag.kind == TokenKind::name) {
      if (tag.text == "if") return if_tag(tag.place);
      if (tag.text == "for") return for_tag(tag.place);
      if (tag.text == "set") return set_tag(tag.place);
      if (tag.text == "macro") return macro_tag(tag.place);
      if (tag.text == "call") return call_tag(tag.place);
      if (tag.text == "filter") return filter_tag(tag.place);
      if (tag.text == "with") return with_tag(tag.place);
      if (tag.text == "generation") return generation_tag(tag.place);
      if (tag.text == "break") return jump(tag, Flow::leave_loop);
      if (tag.text == "continue") return jump(tag, Flow::next_item);
    }
    throw Problem(
        fmt::format("the tag '{}' is not known: if, for, set, macro, call, filter, with, generation, break, "
                    "continue, print and raw are",
                    tag.text),
        tag.place);
  }

  void prints(Place place, std::vector<StatementPtr>& made) {
    while (tokens_.now().kind != TokenKind::end_tag) {
      if (!made.empty()) tokens_.expect_sign(",");
      auto print = statement_at<Print>(place);
      print->expression = expressions_.expression();
      made.push_back(std::move(print));
    }
  }

  StatementPtr jump(const Lexeme& tag, Flow flow) {
    if (loops_ == 0) throw Problem(fmt::format("'{}' outside of a loop", tag.text), tag.place);
    auto node = statement_at<Jump>(tag.place);
    node->flow = flow;
    return node;
  }

  StatementPtr if_tag(Place place) {
    auto node = statement_at<If>(place);
    do {
      ExpressionPtr test = expressions_.tuple(false);
      node->branches.emplace_back(std::move(test), block({"elif", "else", "endif"}));
    } while (tokens_.takes_name("elif"));
    if (tokens_.takes_name("else")) node->otherwise = block({"endif"});
    tokens_.expect_name("endif");
    return node;
  }

  StatementPtr for_tag(Place place) {
    auto node = statement_at<For>(place);
    node->target = target("in");
    tokens_.expect_name("in");
    node->items = expressions_.tuple(false, "recursive");
    if (tokens_.takes_name("if")) node->filter = expressions_.expression();
    if (tokens_.now().is_name("recursive")) tokens_.fail_here("'%}': recursive loops are not known");
    ++loops_;
    node->body = block({"else", "endfor"});
    --loops_;
    if (tokens_.takes_name("else")) node->otherwise = block({"endfor"});
    tokens_.expect_name("endfor");
    return node;
  }

  Target one_target() {
    Target found;
    if (tokens_.takes_sign("(")) {
      found = target("");
      tokens_.expect_sign(")");
      return found;
    }
    found.name = tokens_.any_name();
    if (tokens_.takes_sign(".")) found.member = tokens_.any_name();
    return found;
  }

  /// One, or several with commas. `end`: the name that may stand behind a last comma.
  Target target(std::string_view end) {
    const Nesting nesting(expressions_.depth(), tokens_.now().place);
    Target first = one_target();
    if (!tokens_.now().is_sign(",")) return first;
    Target several;
    several.parts.push_back(std::move(first));
    while (tokens_.takes_sign(",") && tokens_.now().kind != TokenKind::end_tag &&
           !tokens_.now().is_name(end) && !tokens_.now().is_sign("=") && !tokens_.now().is_sign(")"))
      several.parts.push_back(one_target());
    return several;
  }

  StatementPtr set_tag(Place place) {
    Target to = target("");
    if (tokens_.takes_sign("=")) {
      auto node = statement_at<Set>(place);
      node->target = std::move(to);
      node->value = expressions_.tuple();
      return node;
    }
    auto node = statement_at<SetBlock>(place);
    node->target = std::move(to);
    node->filters = expressions_.filters();
    node->body = block_to("endset");
    return node;
  }

  void parameters(Routine& routine) {
    tokens_.expect_sign("(");
    for (bool first = true; !tokens_.now().is_sign(")"); first = false) {
      if (!first) tokens_.expect_sign(",");
      std::string name = tokens_.any_name();
      const Place place = tokens_.now().place;
      ExpressionPtr otherwise = tokens_.takes_sign("=") ? expressions_.expression() : nullptr;
      if (!otherwise && !routine.parameters.empty() && routine.parameters.back().second)
        throw Problem(fmt::format("parameter '{}' has no default, and the one before it has", name), place);
      routine.parameters.emplace_back(std::move(name), std::move(otherwise));
    }
    tokens_.expect_sign(")");
  }

  /// The body, and what of caller, varargs and kwargs is named in it.
  void routine_body(Routine& routine, std::string_view end) {
    std::vector<std::string>& names = expressions_.names();
    const std::size_t begin = names.size();
    const int loops = std::exchange(loops_, 0);
    routine.body = block_to(end);
    loops_ = loops;
    const auto is_named = [&](std::string_view name) {
      const bool parameter =
          std::ranges::any_of(routine.parameters, [&](const auto& p) { return p.first == name; });
      return !parameter &&
             std::find(names.begin() + static_cast<std::ptrdiff_t>(begin), names.end(), name) != names.end();
    };
    routine.takes_caller = is_named("caller");
    routine.takes_more = is_named("varargs");
    routine.takes_more_named = is_named("kwargs");
  }

  StatementPtr macro_tag(Place place) {
    auto node = statement_at<Macro>(place);
    node->routine.name = tokens_.any_name();
    parameters(node->routine);
    routine_body(node->routine, "endmacro");
    return node;
  }

  StatementPtr call_tag(Place place) {
    auto node = statement_at<CallBlock>(place);
    node->caller.name = "caller";
    if (tokens_.now().is_sign("(")) parameters(node->caller);
    ExpressionPtr called = expressions_.expression();
    const auto* call = dynamic_cast<const Call*>(called.get());
    if (!call) throw Problem("{% call %} takes the call of a macro", place);
    called.release();
    node->call.reset(call);
    routine_body(node->caller, "endcall");
    return node;
  }

  StatementPtr filter_tag(Place place) {
    auto node = statement_at<FilterBlock>(place);
    node->filters.push_back(expressions_.filter(nullptr));
    for (auto& filter : expressions_.filters()) node->filters.push_back(std::move(filter));
    node->body = block_to("endfilter");
    return node;
  }

  StatementPtr with_tag(Place place) {
    auto node = statement_at<Block>(place);
    while (tokens_.now().kind != TokenKind::end_tag) {
      if (!node->names.empty()) tokens_.expect_sign(",");
      Target name = one_target();
      tokens_.expect_sign("=");
      node->names.emplace_back(std::move(name), expressions_.expression());
    }
    node->body = block_to("endwith");
    return node;
  }

  /// What transformers marks as the assistant's; its names are its own.
  StatementPtr generation_tag(Place place) {
    auto node = statement_at<Block>(place);
    node->body = block_to("endgeneration");
    return node;
  }

  Tokens tokens_;
  ExpressionParser expressions_;
  int loops_ = 0;
};

}  // namespace

Body parse(std::string_view source) {
  return Parser(source).all();
}

}  // namespace rocket::jinja
