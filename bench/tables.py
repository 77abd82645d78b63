"""Tables in Markdown, row by row as they are measured."""


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)
