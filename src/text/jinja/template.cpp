#include "text/jinja/template.h"

#include "base/error.h"
#include "text/jinja/parser.h"
#include "text/unicode.h"

namespace rocket::jinja {
namespace {

/// Calls `f`; what is wrong there is the file's.
template <class F>
auto in_file(const std::string& name, F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (const Problem& problem) {
    const Place place = problem.place().value_or(Place{});
    fail_data("{}:{}:{}: {}", name, place.line, place.column, problem.what());
  }
}

}  // namespace

struct Template::Parsed {
  Body body;
};

Template::Template(std::string_view source, std::string name) : name_(std::move(name)) {
  if (!is_utf8(source)) fail_data("{}: invalid UTF-8", name_);
  parsed_ = in_file(name_, [&] { return std::make_unique<const Parsed>(Parsed{parse(source)}); });
}
Template::~Template() = default;
Template::Template(Template&&) noexcept = default;

std::string Template::render(const Dict& variables, std::optional<std::tm> now, const Limits& limits) const {
  return in_file(name_, [&] {
    Machine machine(variables, now, limits);
    std::string text;
    Frame frame{machine, &machine.new_scope(nullptr), &text};
    run_body(parsed_->body, frame);
    return text;
  });
}

}  // namespace rocket::jinja
