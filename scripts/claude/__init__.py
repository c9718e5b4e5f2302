"""Claude as the teacher. bill: what it costs. exchange: requests and replies over the API, by batch, or by hand, never paid twice; errors: what the API says.
cells: which rows to ask for. replies: rows out of what came back. direct: both until the data set is full. book: a phrasebook.
"""
