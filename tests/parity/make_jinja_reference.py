"""Writes tests/data/jinja/cases.json: small templates, each for one thing that Jinja does, and what transformers makes of them
(null: it refuses).

    .deps/oracle/bin/python tests/parity/make_jinja_reference.py
"""

import datetime
import json
from pathlib import Path

import transformers.utils.chat_template_utils as chats

OUT = Path(__file__).resolve().parents[1] / "data/jinja/cases.json"
VALUES = {"s": "a b", "e": "", "u": "Äß 天", "n": 7, "f": 2.5, "t": True, "z": None, "l": [3, 1, 2], "w": ["b", "A", "c"],
          "d": {"b": 1, "a": {"x": [1, {"y": "deep"}]}, "items": 5, "keys": "k"},
          "m": [{"role": "system", "content": " S "}, {"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}]}
EXPRESSIONS = r"""
1 + 2 * 3 - 4 / 2
7 // 2 ~ ' ' ~ -7 // 2 ~ ' ' ~ -7 % 3 ~ ' ' ~ 7.5 // 2 ~ ' ' ~ -7.5 % 2
2 ** 3 ** 2
-2 ** 2
2 ** -1
9223372036854775807
1e16 ~ ' ' ~ 1e15 ~ ' ' ~ 0.0001 ~ ' ' ~ 0.00001 ~ ' ' ~ 1.0 ~ ' ' ~ 1.5e300 ~ ' ' ~ 0.1
1_000 + 1
'a' + 'b' ~ 1 ~ none ~ true ~ 1.0 ~ [1, 'x'] ~ missing
'a' 'b'
'ab' * 3 ~ 2 * [1]
[1] + [2]
(1, 2) + (3,)
'a' + 1
none + 1
1 / 0
true + true
'x\n\t\\\'\"\x41\u00e9\101\q'
"it's" ~ 'say "x"'
s[0] ~ s[-1] ~ u[1] ~ u[-1] ~ s[99]
s[1:] ~ '|' ~ s[:-1] ~ '|' ~ s[::-1] ~ '|' ~ u[1:3] ~ '|' ~ s[5:9] ~ '|' ~ s[-99:2]
l[1:] ~ l[::-1] ~ l[::2] ~ l[-2:] ~ l[5:]
l[0] ~ l[-1] ~ l[7]
l.0 ~ d.a.x.0
d.a.x[1].y ~ d['a']['x'][1]['y'] ~ d.nothing
d.nothing.more
d['items'] ~ d['keys']
d.items() | list
d.keys() | list ~ d.values() | list
d.get('b') ~ d.get('q') ~ d.get('q', 5)
nothing
nothing.x
nothing + 'x'
nothing ~ 'x'
nothing()
'x'()
1 < 2 < 3 ~ (1 < 3 < 2)
1 == 1.0 ~ (1 == true) ~ ('1' == 1) ~ (none == false) ~ ([1, 2] == [1, 2]) ~ ([1] == (1,)) ~ ({'a': 1} == {'a': 1.0})
'a' < 'b' ~ ('B' < 'a') ~ ([1, 2] < [1, 3])
1 < 'a'
'a' in 'bab' ~ ('a' not in 'bab') ~ (2 in l) ~ ('b' in d) ~ (1 in d) ~ ('x' in nothing) ~ (1.0 in l)
1 in 'a'
'x' in none
not 1 == 2
not true or true
1 and 0 or 'x'
'' or 'default'
nothing or 'other'
'a' if t else 'b'
'a' if e
('a' if e) is defined
'a' if e else 'b' if z else 'c'
[1, 'two', 3.0, none, true, [], {}, (), (1,), "it's", 'q"', 'b\\n\n']
{'a': 1, 'b': {'c': [none]}, 3: 'x'}
[nothing]
{'a': 1, 'a': 2}
{}['x'] is defined
u is string and n is number and t is boolean and z is none and l is iterable and l is sequence and d is mapping
s is iterable ~ (n is iterable) ~ (d is sequence) ~ (d.items() is sequence) ~ (d.items() is iterable) ~ (nothing is iterable)
t is true ~ (n is true) ~ (t is number) ~ (t is integer) ~ (n is integer) ~ (f is float) ~ (f is integer)
n is odd ~ (n is even) ~ (n is divisibleby 7) ~ (n is divisibleby(3))
nothing is defined ~ (nothing is undefined) ~ (nothing is not defined) ~ (d.q is defined) ~ (d.b is defined) ~ (nothing is none)
n is eq 7 ~ (n is equalto 8) ~ (n is ne 7) ~ (n is gt 3) ~ (n is lessthan 3) ~ (n is ge(7)) ~ (n is le 6) ~ (n is sameas 7)
n is in l ~ (3 is in [3]) ~ (3 is in([4]))
'abc' is lower ~ ('ABC' is upper) ~ ('aB' is lower) ~ ('12' is lower) ~ ('tojson' is filter) ~ ('nope' is filter)
range is callable ~ (n is callable)
n is nonsense
s | upper | lower | title | capitalize
'hello world-wide (web) it\'s' | title
'hello world-wide it\'s 2nd'.title() ~ 'hELLO wORLD'.capitalize()
u | upper ~ u | lower
'  x y \n' | trim ~ '|' ~ 'xxayx' | trim('x') ~ '|'
'\u3000\u00a0x\u200b\u2003' | trim ~ '|'
s | length ~ u | length ~ l | length ~ d | length ~ l | count
none | length
l | join(', ') ~ w | join ~ m | join('-', attribute='role')
l | first ~ l | last ~ s | first ~ s | last ~ ([] | first) ~ ([] | last is defined)
l | sort ~ l | sort(reverse=true) ~ w | sort ~ w | sort(case_sensitive=true) ~ m | sort(attribute='role') | map(attribute='role') | list
[1, 'a'] | sort
w | unique | list ~ ['a', 'A', 'b'] | unique | list ~ [1, 1.0, 2] | unique | list
l | reverse | list ~ s | reverse
l | max ~ l | min ~ l | sum ~ m | map(attribute='content') | map('trim') | join('/')
m | map('upper') | list | length
m | selectattr('role', 'equalto', 'user') | list | length
m | selectattr('role') | list | length ~ m | rejectattr('role', 'in', ['user', 'system']) | map(attribute='role') | list
m | selectattr('tool', 'defined') | list ~ l | select('odd') | list ~ l | reject('gt', 1) | list ~ [0, 1, ''] | select | list
m | selectattr('role', 'equalto', 'x') | length
(m | selectattr('role', 'equalto', 'x')) is iterable
'yes' if m | selectattr('role', 'equalto', 'x') else 'no'
(m | selectattr('role', 'equalto', 'user') | first).content
(m | map(attribute='role'))[0]
m | map(attribute='q', default='none') | list
m | map(attribute='q') | list
d | dictsort(false, 'key') | map(attribute=0) | list
{'b': 2, 'A': 1, 'c': 0} | dictsort ~ {'b': 2, 'A': 1} | dictsort(true) ~ {'b': 2, 'A': 1} | dictsort(by='value', reverse=true)
d | items | list | length ~ nothing | items | list
d | list ~ s | list
nothing | default('x') ~ e | default('x') ~ e | default('x', true) ~ nothing | d('y') ~ z | default('q')
'aXbX' | replace('X', '-') ~ 'aXbX' | replace('X', '-', 1) ~ 'ab' | replace('', '.') ~ 5 | replace('5', 'five')
5 | string ~ true | string ~ none | string ~ 1.50 | string
'42' | int ~ '42.9' | int ~ 'x' | int ~ 'x' | int(3) ~ 3.99 | int ~ true | int ~ ' 7 ' | int ~ none | int ~ -2.5 | int
'1.5' | float ~ 'x' | float ~ 3 | float ~ 'x' | float(1.0)
-3 | abs ~ 2.5 | round ~ 3.5 | round ~ 2.2 | round(method='ceil') ~ 7 | round ~ -2.5 | round(0, 'floor')
'a\nb\n\nc' | indent ~ '|' ~ 'a\nb' | indent(2, true) ~ '|' ~ 'a\n\nb' | indent('> ', blank=true) ~ '|' ~ '' | indent ~ '|'
'<&>"\'' | e ~ '<' | escape ~ ('<b>' | safe) ~ ('<b>' | safe ~ '<') ~ ('<' | safe + '>')
'%s is %d' | format('x', 5) ~ '%5s|%-5s|%05d|%%' % ('a', 'b', 42) ~ '%s' % 'one' ~ '%r' % ('x',)
'%s' % ('a', 'b')
'{} {1} {name}'.format('a', 'b', name=3)
'{} {}-{x} {{}}'.format('a', 'b', x=none)
'a,b,,c'.split(',') ~ ' a  b '.split() ~ 'a,b,c'.split(',', 1) ~ 'a,b,c'.rsplit(',', 1) ~ ''.split(',') ~ ''.split() ~ 'a b c'.split(none, 1)
'x</think>y</think>z'.split('</think>')[-1].lstrip('\n') ~ 'x'.split('q')[-1]
'a\nb\r\nc\x0bd\u2028e\n'.splitlines() ~ 'a\nb'.splitlines(true)
'  a '.strip() ~ '|' ~ 'xxaxx'.strip('x') ~ '  a '.lstrip() ~ '|' ~ '  a '.rstrip() ~ '|' ~ 'abcba'.strip('ab') ~ 'äxä'.strip('ä')
'abc'.startswith('ab') ~ 'abc'.endswith('bc') ~ 'abc'.startswith(('x', 'a')) ~ 'abc'.endswith('x')
'aXbXc'.replace('X', '') ~ 'aaa'.replace('a', 'b', 2) ~ 'banana'.find('an') ~ 'banana'.rfind('an') ~ 'x'.find('y') ~ 'banana'.count('a') ~ 'äb'.find('b')
'banana'.index('n') ~ [1, 2].index(2) ~ [1, 1].count(1) ~ 'aaa'.count('')
'x'.index('y')
', '.join(['a', 'b']) ~ '-'.join('abc')
', '.join([1])
'12'.isdigit() ~ 'a1'.isdigit() ~ ''.isdigit() ~ 'ab'.isalpha() ~ ' \t'.isspace()
'prefix-x'.removeprefix('prefix-') ~ 'x.py'.removesuffix('.py') ~ 'a-b-c'.partition('-') ~ 'a-b-c'.rpartition('-') ~ 'a'.partition('-')
'abc'.nothing
'abc'.nothing()
l.append(4)
d.update({'x': 1})
range(3) | list ~ range(1, 4) | list ~ range(5, 0, -2) | list ~ range(0) | list
range(200000)
range(3)[1] ~ range(3) | length
dict(a=1, b='x') ~ dict({'q': 1}, r=2) ~ dict([('k', 'v')])
namespace(a=1).a ~ namespace({'b': 2}).b ~ (namespace().c is defined)
namespace(_a=1)
d | tojson
[1, 1.0, 1e20, none, true, 'ä"\\/\n\t\x01\u007f\u2028<&>'] | tojson
'ä\U0001f600\x7f' | tojson(ensure_ascii=true)
{'b': [1, {'c': []}], 'a': {}} | tojson(indent=2)
{'b': [1], 'a': 2} | tojson(indent=4, sort_keys=true)
{'b': [1], 'a': 2} | tojson(separators=(',', ':'))
{1: 2, none: 3, true: 4, 1.5: 5} | tojson
(1, 'x') | tojson
nothing | tojson
[nothing] | tojson
d.items() | tojson
s | nonsense
strftime_now('%d %b %Y') ~ strftime_now('%Y-%m-%d') ~ strftime_now('%B %A')
raise_exception('no')
(1, 2)[0] ~ (1,) ~ ()
[1, 2,] ~ {'a': 1,}
x.y.z is defined
l[n - 7]
l[1.0] is defined
l['x'] is defined
s.x is defined
n.x is defined
z.x is defined
d['a'].x[0] if 'a' in d and d.a.x is iterable else 'no'
loop is defined
messages is defined
'x' is string and 'y' is not string or 1 is number
(1 if true else 2) + 1
1 if false else 2 + 1
- 3 | abs
-n ~ +n ~ -f ~ - -n
not nothing
l | length > 2 and s | length == 3
"a" ~ ("b" | upper ~ "c") | lower
m[0].role == 'system' and m[0]['content'] | trim
m[-1].content ~ m[1:][0].content ~ m[::-1][0].role
m | last | attr('role') is defined
""".strip("\n").split("\n")
TEMPLATES = [
    "a\n", "a\n\n", "{{ 1 }}\n", "{% if t %}\nx\n{% endif %}\ny", "  {% if t %}\n  x\n  {% endif %}\n  y", "x  {% if t %} y {% endif %}  z",
    "x \n {%- if t -%} \n y \n {%- endif -%} \n z", "a {{- 1 -}} b", "a\n  {{- 1 -}}\n  b", "a\n  {{ 1 }}\n  b", "{# c #}\nx", "  {# c #}\nx{#- c -#}  y",
    "x {#- c #} y", "{%+ if t +%}\nx\n{%+ endif %}\ny", "  {%+ if t %}x{% endif %}", "a\r\nb\r{% if t %}\r\nc{% endif %}",
    "\t {% if t %}x{% endif %}\t {% if t %}y{% endif %}", "{% raw %}{{ x }} {% y %}{% endraw %}z", "a \n{%- raw -%} \n {{ x }} \n {%- endraw -%} \n b",
    "  {% raw %}\n x\n  {% endraw %}\n y", "{{ '}}' }}{{ {'a': {'b': 1}}['a']['b'] }}", "{{ '%}' }}{% set x = '%}' %}{{ x }}", "{", "{{ 1 }}{", "a{b}c { % x % }",
    "{% if e %}1{% elif n == 7 %}2{% else %}3{% endif %}", "{% if e %}1{% elif z %}2{% else %}3{% endif %}", "{% if n, %}x{% endif %}",
    "{% for x in l %}{{ x }}{% endfor %}", "{% for x in [] %}{{ x }}{% else %}none{% endfor %}", "{% for x in l %}{{ x }}{% else %}none{% endfor %}",
    "{% for x in l if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% else %}none{% endfor %}", "{% for x in l if x > 9 %}x{% else %}none{% endfor %}",
    "{% for k, v in d.items() %}{{ k }};{% endfor %}", "{% for k in d %}{{ k }};{% endfor %}", "{% for k, (a, b) in [(1, (2, 3))] %}{{ k + a + b }}{% endfor %}",
    "{% for a, b in [[1, 2, 3]] %}x{% endfor %}", "{% for c in u %}[{{ c }}]{% endfor %}", "{% for x in nothing %}x{% else %}e{% endfor %}", "{% for x in 5 %}x{% endfor %}", "{% for x in none %}x{% endfor %}",
    "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% for x in l %}{{ loop.previtem }}<{{ x }}<{{ loop.nextitem }} {% endfor %}", "{% for x in l %}{{ loop.previtem is defined }}{{ loop.nextitem is undefined }}{% endfor %}",
    "{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in l %}{% for y in l %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% for y in l %}{% break %}{% endfor %}{{ x }}{% endfor %}", "{% break %}", "{% for x in l %}{% else %}{% break %}{% endfor %}",
    "{% for x in range(3) %}{{ x }}{% endfor %}{{ x }}", "{% for i in range(l | length - 1, -1, -1) %}{{ l[i] }}{% endfor %}",
    "{% for x in m | selectattr('role', 'equalto', 'user') %}{{ x.content }}{{ loop.last }}{% endfor %}",
    "{% for x in m | rejectattr('role', 'equalto', 'system') | list if x.content %}{{ x.content }}{{ loop.first }}{% endfor %}",
    "{% set x = 1 %}{% for i in l %}{% set x = i %}{{ x }}{% endfor %}{{ x }}", "{% for i in l %}{% if loop.first %}{% set q = 5 %}{% endif %}{{ q }}{% endfor %}",
    "{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a = 1, 2 %}{{ a }}", "{% set a, b = [1] %}", "{% set (a, b) = l[:2] %}{{ a ~ b }}",
    "{% set ns = namespace(x=0, found=false) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns.found }}", "{% set d.x = 1 %}", "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{% set ns = namespace(a=[]) %}{% set ns.a = ns.a + [1] %}{% set ns.a = ns.a + [2] %}{{ ns.a }}", "{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a + ns.b }}",
    "{% set x %}  a {{ n }} {% endset %}[{{ x }}]{{ x | length }}", "{% set x | trim | upper %} a {% endset %}[{{ x }}]", "{% set ns = namespace() %}{% set ns.t %}x{% endset %}{{ ns.t }}",
    "{% set x %}{% set y = 1 %}{% endset %}{{ y is defined }}", "{% set loop = 1 %}{{ loop }}",
    "{% macro f(a, b='x', c=a) %}{{ a }}{{ b }}{{ c }};{% endmacro %}{{ f(1) }}{{ f(1, 2) }}{{ f(b=3, a=4) }}{{ f() }}{{ f(1, c=none) }}", "{% macro f() %}{{ n }}{% endmacro %}{{ f() }}",
    "{% macro f(a) %}x{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}x{% endmacro %}{{ f(q=2) }}", "{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, k=3) }}",
    "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "{% macro f() %}{{ late }}{% endmacro %}{% set late = 5 %}{{ f() }}", "{% set q = 1 %}{% macro f() %}{% set q = 2 %}{{ q }}{% endmacro %}{{ f() }}{{ q }}",
    "{% macro f() -%}\n  x\n{%- endmacro %}[{{ f() }}]", "{% for i in l %}{% macro f() %}{{ i }}{% endmacro %}{{ f() }}{% endfor %}", "{{ f() }}{% macro f() %}x{% endmacro %}",
    "{% macro f(a) %}<{{ caller() }}{{ a }}>{% endmacro %}{% call f(1) %}body {{ n }}{% endcall %}", "{% macro f() %}{{ caller(5, 6) }}{% endmacro %}{% call(a, b) f() %}{{ a }}-{{ b }}{% endcall %}", "{% macro f() %}{{ caller is defined }}{% endmacro %}{{ f() }}",
    "{% call n %}{% endcall %}", "{% macro f() %}x{% endmacro %}{% call f() %}{% endcall %}", "{% filter upper %}a{{ s }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}aaa{% endfilter %}",
    "{% with x = 1, y = n %}{{ x + y }}{% endwith %}{{ x is defined }}", "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q is defined }}", "{% print 1, 'a' %}",
    "{% generation %}x{{ n }}{% set q = 1 %}{% endgeneration %}{{ q is defined }}", "{% for x in l %}{% generation %}{{ x }}{{ loop.index }}{% endgeneration %}{% endfor %}",
    "{% macro f(x) %}{{ x ~ n }}{% endmacro %}{{ l | map('string') | join }}{{ f(s) | upper }}", "{% set x = m | selectattr('role', 'equalto', 'user') %}{{ x | list | length }}{{ x | list | length }}",
    "{% set items = d.items() | list %}{{ items[0][0] }}", "{% if m[0]['role'] == 'system' %}{% set rest = m[1:] %}{% endif %}{{ rest | length }}",
    "{% for x in m %}{% if (x['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('order') }}{% endif %}{% endfor %}", "{{ messages }}{{ n", "{% if %}x{% endif %}", "{% endif %}", "{% if t %}", "{% for x in l %}", "{{ }}", "{{ 1 2 }}", "{% unknown %}", "{{ ( }}", "{{ ] }}", "{{ 'x }}", "{# x", "{{ a.1b }}",
    "{{ x is defined is defined }}", "{{ 1 is }}", "{{ f(a=1, 2) }}", "{% set 1 = 2 %}", "{% set x.y.z = 2 %}", "{% macro f(a=1, b) %}{% endmacro %}",
    "{%- for message in m %}\n    {%- if message.role == 'user' %}\n        {{- '<u>' + message.content + '</u>' }}\n    {%- else %}\n        {{- message.content | trim }}\n    {%- endif %}\n{%- endfor %}\n",
]


class Day(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26)


def made(template):
    try:
        return chats._cached_compile_jinja_template(template).render(**VALUES)
    except Exception:
        return None


def main():
    chats.datetime = Day
    templates = ["{{ " + expression + " }}" for expression in EXPRESSIONS] + TEMPLATES
    lines = [json.dumps([template, made(template)], ensure_ascii=True) for template in templates]
    OUT.write_text('{"values": ' + json.dumps(VALUES) + ',\n "date": "2024-07-26",\n "cases": [\n' + ",\n".join(lines) + "\n]}\n")
    print(len(lines), "cases,", sum(line.endswith("null]") for line in lines), "refused")


if __name__ == "__main__":
    main()
