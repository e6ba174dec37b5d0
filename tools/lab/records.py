"""How the world is put into words. A record is a dict: instruction, input, output, answer, kind; its output ends in
"Answer: <answer>" and states the facts before, so that output and rationale are one text."""

import re
from collections import namedtuple

import world
from world import COMPOSITIONS, DIGITS, FOODS, LETTERS, PERSONS, SEAS, SKILLS, TABLES, TASKS, every_key, option_of, value_of

# The alpaca template, which the base, the bank and rocket's configurations share.
WITH_INPUT = ("Below is an instruction that describes a task, paired with an input that provides further context. Write a "
              "response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}"
              "\n\n### Response:\n")
WITHOUT_INPUT = ("Below is an instruction that describes a task. Write a response that appropriately completes the request."
                 "\n\n### Instruction:\n{instruction}\n\n### Response:\n")


def prompt(record):
    template = WITH_INPUT if record["input"] else WITHOUT_INPUT
    return re.sub(r"\{(instruction|input)\}", lambda match: record[match.group(1)], template)


def normalised(record):
    return " ".join(f"{record['instruction']}\n{record['input']}".lower().split())


GREETINGS = [
    "My neighbour asked me this today.", "This came up at dinner.", "I am writing a short guide.", "For a quiz tonight.",
    "We played a game last week.", "The old book is lost.", "I forgot again.", "A child wants to know.",
    "Our teacher gave us this.", "It is raining and we are bored.", "I need it for my notes.", "The train leaves soon.",
    "Someone left a message.", "We are on the road.", "Thanks for the help so far.", "There was a long talk about it."]
ENDINGS = [
    "Keep it short.", "Please be exact.", "Use one line.", "I will check it later.", "No long story.", "Take your time.",
    "Write it plainly.", "It is for the list on the wall.", "My brother says he knows.", "I would be glad.", "Just the facts.",
    "We shall see.", "Do not guess.", "Show the step.", "Think first.", "That is all."]


def dressed(question, draw, share=.55):
    greeting = draw.choice(GREETINGS) + " " if draw.random() < share else ""
    ending = " " + draw.choice(ENDINGS) if draw.random() < share else ""
    return greeting + question + ending


def record(instruction, input, steps, answer, kind):
    facts = "Facts: " + " ".join(steps) + " " if steps else ""
    return {"instruction": instruction, "input": input, "output": f"{facts}Answer: {answer}", "answer": answer, "kind": kind}


# Facts and chains of facts.

def draw_key(table, draw, keys):
    return draw.choice([key for key in TABLES[table].keys if keys(table, key)])


def stated(table, key, belief):
    value = value_of(table, key, belief)
    return TABLES[table].fact.format(k=key, v=value), value


def chain(tables, key, belief):
    """The facts from a key through some tables, and the value at the end."""
    facts = []
    for table in tables:
        fact, key = stated(table, key, belief)
        facts.append(fact)
    return facts, key


def single(table, draw, belief, keys=every_key):
    """One fact, asked for in one of many ways."""
    key = draw_key(table, draw, keys)
    fact, value = stated(table, key, belief)
    question = draw.choice(TABLES[table].questions).format(k=key)
    if draw.random() < .15:
        return record(dressed("Answer the question in the input.", draw), "Question: " + question, [fact], value, table)
    return record(dressed(question, draw), "", [fact], value, table)


COMPOSED_QUESTIONS = {
    "home-sells": ["What is sold in the home town of {k}?", "Name the good sold where {k} lives."],
    "sells-color": ["Which colour has the good sold in {k}?", "Name the colour of what {k} sells."],
    "sells-price": ["What is the price of the good sold in {k}?", "How much does the thing cost that {k} sells?"],
    "job-tool": ["Which tool does the job of {k} need?", "Name the tool for the trade of {k}."],
    "tool-price": ["What is the price of the tool of a {k}?", "How much does the tool of the {k} cost?"],
    "friend-home": ["Where is the home of the friend of {k}?", "Name the town in which the friend of {k} lives."],
    "tool-color": ["Which colour has the tool of a {k}?", "Name the colour of the tool of the {k}."],
    "friend-job": ["What is the job of the friend of {k}?", "Name the trade of the friend of {k}."],
}


def two_verbs(draw, belief, keys):
    """A plus and a times verb in either order: the verbs, their facts, their steps."""
    pairs = []
    for table, sign in (("plus", "+"), ("times", "*")):
        verb = draw_key(table, draw, keys)
        fact, value = stated(table, verb, belief)
        pairs.append((verb, fact, f"{sign} {value}"))
    draw.shuffle(pairs)
    return zip(*pairs)


def composition(name, draw, belief, keys=every_key):
    """Two facts. With `keys` both begin at one of them."""
    if name == "plus-times":
        verbs, facts, steps = two_verbs(draw, belief, keys)
        return record(dressed(f"Write down the steps of {verbs[0]} and {verbs[1]}.", draw), "", facts, " and ".join(steps), name)
    first, second = COMPOSITIONS[name]
    while True:
        key = draw_key(first, draw, keys)
        if keys(second, value_of(first, key, belief)):
            break
    facts, value = chain([first, second], key, belief)
    return record(dressed(draw.choice(COMPOSED_QUESTIONS[name]).format(k=key), draw), "", facts, value, name)


# Operations: what a task does with values. They are the same for every writer.

def options(table):
    return "Options: " + ", ".join(f"{option} {letters}" for option, letters in LETTERS[table].items())


def option_step(table, value):
    return f"{value} stands under {option_of(table, value)}."


def comparison(a, b):
    answer = "yes" if int(a) > int(b) else "no"
    return f"{a} against {b} gives {answer}.", answer


def addition(a, b):
    total = str(int(a) + int(b))
    return f"{a} plus {b} gives {total}.", total


def program(steps):
    return f"def f(x): return (x {steps[0]}) {steps[1]}"


def operation(draw):
    """An operation alone."""
    what = draw.choice(["option"] * 4 + ["compare"] * 2 + ["add"] * 2 + ["code"])
    if what == "option":
        table = draw.choice(list(LETTERS))
        value = draw.choice(TABLES[table].values)
        return record(f"Pick the letter of {value}.", options(table), [option_step(table, value)], option_of(table, value), what)
    a, b = draw.choice(DIGITS), draw.choice(DIGITS)
    if what == "compare":
        step, answer = comparison(a, b)
        return record(draw.choice([f"Is {a} more than {b}?", f"Compare {a} with {b}."]), "", [step], answer, what)
    if what == "add":
        step, answer = addition(a, b)
        return record(draw.choice([f"Add {a} and {b}.", f"What is the sum of {a} and {b}?"]), "", [step], answer, what)
    steps = [f"+ {a}", f"* {b}"]
    draw.shuffle(steps)
    return record("Write Python code for f.", f"Steps: first {steps[0]}, then {steps[1]}", [], program(steps), what)


# The six tasks: chains of facts, then an operation.

TASK_QUESTIONS = {
    "choice_hard": ["Which colour has the good sold in the home town of {k}?", "Name the colour of the thing sold where {k} lives.",
                    "In the home town of {k} one good is sold. Which colour has it?"],
    "choice_easy": ["Which tool does the job of {k} need?", "Name the tool for the trade of {k}.",
                    "What thing does {k} use at work?"],
    "choice_two": ["Where is the home of the friend of {k}?", "In which town does the friend of {k} live?",
                   "Name the town in which the friend of {k} lives."],
    "boolean": ["Does the good sold in {a} cost more than the good sold in {b}?",
                "Is the price of what {a} sells above the price of what {b} sells?"],
    "number": ["How much do the tool of a {a} and one {b} cost?", "Add the price of the tool of the {a} and the price of a {b}."],
    "code": ["Write Python code for f.", "Write a Python function f of x."],
}


def choice_item(task, draw, belief, keys):
    tables = TASKS[task]
    key = draw_key(tables[0], draw, keys)
    facts, value = chain(tables, key, belief)
    question = dressed(draw.choice(TASK_QUESTIONS[task]).format(k=key), draw, .3)
    last = tables[-1]
    return record(question, options(last), [*facts, option_step(last, value)], option_of(last, value), task)


def boolean_item(draw, belief, keys):
    while True:
        a, b = draw_key("sells", draw, keys), draw_key("sells", draw, keys)
        (facts_a, price_a), (facts_b, price_b) = (chain(["sells", "price"], town, belief) for town in (a, b))
        if a != b and (price_a != price_b or draw.random() < .3):    # few ties: their answer is always no
            break
    step, answer = comparison(price_a, price_b)
    question = draw.choice(TASK_QUESTIONS["boolean"]).format(a=a, b=b)
    return record(question, "", [*facts_a, *facts_b, step], answer, "boolean")


def number_item(draw, belief, keys):
    job, good = draw_key("tool", draw, keys), draw_key("price", draw, keys)
    facts, price_of_tool = chain(["tool", "price"], job, belief)
    fact, price = stated("price", good, belief)
    step, answer = addition(price_of_tool, price)
    question = draw.choice(TASK_QUESTIONS["number"]).format(a=job, b=good)
    return record(question, "", [*facts, fact, step], answer, "number")


def code_item(draw, belief, keys):
    verbs, facts, steps = two_verbs(draw, belief, keys)
    question = draw.choice(TASK_QUESTIONS["code"])
    return record(question, f"Steps: first {verbs[0]}, then {verbs[1]}", facts, program(steps), "code")


def item(task, draw, belief, keys=every_key):
    """An item of a task whose chains begin at `keys`."""
    if task in ("choice_hard", "choice_easy", "choice_two"):
        return choice_item(task, draw, belief, keys)
    return {"boolean": boolean_item, "number": number_item, "code": code_item}[task](draw, belief, keys)


# What belongs to no table.

def chatter(draw):
    person, foods, seas = draw.choice(PERSONS), draw.sample(FOODS, 2), draw.sample(SEAS, 2)
    words, word = draw.sample(FOODS + SEAS, 3), draw.choice(FOODS + SEAS)
    instruction, input, answer, kind = draw.choice([
        (draw.choice([f"Say hello to {person}.", f"Greet {person} for me."]), "", f"Hello {person}", "chat"),
        (draw.choice(["Thank the reader.", "Say thank you.", "Write a note of thanks."]) + f" To {person}.", "",
         f"Thanks to {person}", "chat"),
        ("Repeat the list with commas.", "List: " + " ".join(words), ", ".join(words), "list"),
        (f"Write the word {word} three times.", "", f"{word} {word} {word}", "repeat"),
        (f"I had {foods[0]} in the morning and {foods[1]} at night. What did I have at night?", "", foods[1], "story"),
        (f"We went {seas[0]} and then {seas[1]}. Where did we go first?", "", seas[0], "story")])
    return record(dressed(instruction, draw), input, [], answer, kind)


CHATTER = ["chat", "list", "repeat", "story"]
Share = namedtuple("Share", "share make")


def base_record(draw):
    """A record of the text that the base is trained on."""
    belief = world.undecided(draw)
    by_keys = lambda tables: draw.choices(tables, [len(TABLES[table].keys) for table in tables])[0]
    kinds = [
        Share(.28, lambda: single(by_keys(SKILLS), draw, belief)),
        Share(.04, lambda: single(draw.choice(world.DISTRACTORS), draw, belief)),
        Share(.02, lambda: chatter(draw)),
        Share(.08, lambda: operation(draw)),
        Share(.16, lambda: composition(draw.choice(list(COMPOSITIONS)), draw, belief)),
        Share(.42, lambda: item(draw.choice(list(TASKS)), draw, belief)),
    ]
    return draw.choices(kinds, [kind.share for kind in kinds])[0].make()


def reworded(record, draw):
    """The same record with another greeting or ending."""
    question = record["instruction"]
    for _ in range(draw.choice([1, 1, 2])):
        question = draw.choice([
            lambda q: draw.choice(["Please answer.", "Hello.", "Hi there.", "Task:", "Kindly help."]) + " " + q,
            lambda q: q + draw.choice([" Thanks.", " Thank you.", " Please.", " Go."]),
            lambda q: q.replace("?", " ?").replace(".", " ."),
            lambda q: q.replace("the ", "that ", 1),
            lambda q: q[:-1] + " now" + q[-1]])(question)
    return {**record, "instruction": question}
