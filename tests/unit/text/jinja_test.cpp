// Against Jinja as transformers sets it up: tests/parity/make_jinja_reference.py.
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "fuzz/mutate.h"
#include "fuzz/text_targets.h"
#include "text/jinja/template.h"
#include "unit/base/scratch.h"

namespace rocket {
namespace {

using jinja::Template;
using nlohmann::ordered_json;
using testing::expect_error;

const jinja::Dict kNoVariables;

std::string rendered(const std::string& source, const jinja::Limits& limits = {}) {
  return Template(source, "x.jinja").render(kNoVariables, std::nullopt, limits);
}

void expect_refused(const std::string& source, const std::string& place, const std::string& words) {
  expect_error([&] { rendered(source); }, ExitCode::data, {"x.jinja:" + place + ": ", words});
}

std::optional<std::string> made(const std::string& source, const jinja::Dict& variables, const std::tm& day) {
  try {
    return Template(source, "x.jinja").render(variables, day);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data) << e.what();
    return std::nullopt;
  }
}

TEST(JinjaTest, EachConstructIsAsTransformersHasIt) {
  std::ifstream file("tests/data/jinja/cases.json");
  const ordered_json reference = ordered_json::parse(file);
  const jinja::Value values = jinja::from_json(reference["values"]);
  std::tm day{};
  ASSERT_TRUE(::strptime(reference["date"].get<std::string>().c_str(), "%Y-%m-%d", &day));
  ASSERT_GT(reference["cases"].size(), 280u);
  for (const ordered_json& each : reference["cases"]) {
    const auto expected = each[1].is_null() ? std::nullopt : std::optional(each[1].get<std::string>());
    EXPECT_EQ(made(each[0], *values.dict(), day), expected) << each[0];
  }
}

TEST(JinjaTest, WhatIsNotKnownIsRefusedByNameAndPlace) {
  expect_refused("a\n  {% include 'b' %}", "2:6", "the tag 'include' is not known");
  expect_refused("{% for x in y recursive %}{% endfor %}", "1:15", "recursive loops are not known");
  expect_refused("\n\n{{ 'x' | wordwrap(3) }}", "3:10", "the filter 'wordwrap' is not known here");
  expect_refused("{{ 1 is prime }}", "1:6", "the test 'prime' is not known here");
  expect_refused("{{ 'x'.zfill(3) }}", "1:13", "the method 'zfill' of a text is not known here");
  expect_refused("{{ cycler(1, 2) }}", "1:4", "the function 'cycler' of Jinja is not known here");
  expect_refused("{{ 0x10 }}", "1:4", "hexadecimal");
  expect_refused("{{ 'x'|tojson(cls=1) }}", "1:8", "tojson: no argument 'cls' is known");
  expect_refused("{{ '%x' % 3 }}", "1:9", "%x in a text is not known");
}

TEST(JinjaTest, ProblemsNameTheInnermostPlace) {
  expect_refused("{% macro f(a) %}\n{{ a.b.c }}{% endmacro %}{{ f({}) }}", "2:7",
                 "'dict object' has no attribute 'b'");
  expect_refused("{% if true %}\n{{ raise_exception('Only ' ~ 'text') }}{% endif %}", "2:19",
                 "the template refuses this chat: Only text");
  expect_refused("{{ strftime_now('%Y') }}", "1:16", "the template writes the date");
  expect_refused("{% if x %}\n", "1:11", "the template ends where {% endif %} was expected");
  expect_refused("ab{{ 1", "1:7", "the template ends inside {{ ... }}");
  expect_refused("{{ (1] }}", "1:6", "closes nothing");
  expect_error([] { Template("a\xff", "x.jinja"); }, ExitCode::data, {"x.jinja: invalid UTF-8"});
}

TEST(JinjaTest, AHostileTemplateComesToAnEnd) {
  const std::string loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
  expect_refused(loops, "1:45", "bytes of text");
  expect_refused(
      "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x * 9 %}{% endfor %}", "1:76",
      "bytes of text");
  expect_refused(
      "{% set ns = namespace(x='aa') %}{% for i in range(60) %}{% set ns.x = ns.x.replace('a', ns.x) %}{% "
      "endfor %}",
      "1:83", "bytes of text");
  expect_refused("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "1:19", "levels of calls");
  expect_refused("{% set ns = namespace(x=[]) %}{% for i in range(99) %}{% set ns.x = [ns.x] %}{% endfor %}",
                 "1:69", "levels of lists in lists");
  expect_refused("{{ " + std::string(200, '(') + "1" + std::string(200, ')') + " }}", "1:103",
                 "levels of brackets");
  expect_refused("{% set x = ('a' * 999999,) %}{% for i in range(99999) %}{{ x == x }}{% endfor %}", "1:60",
                 "to an end");
  expect_refused(
      "{% set ns = namespace(x=[1]) %}{% set ns.y = [1] %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] "
      "%}"
      "{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
      "1:149", "to an end");
  expect_refused("{% set x = 'a' * 999999 %}{{ x.rfind('b' ~ x) }}", "1:37", "to an end");
  std::string chain = "1";
  for (int i = 0; i < 5000; ++i) chain += "+1";
  expect_refused("{{ " + chain + " }}", "1:403", "too many parts in a row");
  expect_error([] { rendered("{{ 'x' * 200 }}", {.bytes = 100}); }, ExitCode::data, {"more than 100 bytes"});
  expect_error([] { rendered("{{ 1 }}{{ 2 }}", {.steps = 3}); }, ExitCode::data, {"more than 3 steps"});
}

TEST(JinjaTest, AMacroAndItsNamesOutliveTheirBlock) {
  EXPECT_EQ(
      rendered(
          "{% set ns = namespace() %}{% for i in [7] %}{% macro f() %}{{ i }}{% endmacro %}{% set ns.f = f %}"
          "{% set ns.self = ns %}{% endfor %}{{ ns.self.f() }}"),
      "7");
}

TEST(JinjaTest, MutatedTemplatesAreRefusedOrRendered) {
  std::vector<std::string> seeds;
  for (const auto& entry : std::filesystem::directory_iterator("tests/fuzz/corpus/chat_template"))
    seeds.push_back(read_file(entry.path()));
  std::ranges::sort(seeds);
  fuzz::Mutator mutator(seeds);
  for (int i = 0; i < 3'000; ++i) {
    const std::string bytes = mutator.next();
    ASSERT_NO_THROW(fuzz::chat_template(bytes)) << "round " << i;
  }
}

}  // namespace
}  // namespace rocket
