"""The field's human study: a page that asks people, and the scores of their answers.

`draw` chooses the questions, `build` writes the page and the key, `serve` takes answers in,
`answers` reads them and `score` scores them.
"""
