"""Claude as the teacher. bill: what it costs. requests: what is asked and what came back. exchange: requests over the API or by hand, never paid twice;
batches: the same by the Batches API; errors: what the API says.
cells: which rows to ask for. replies: rows out of what came back. direct: both until the data set is full. book: a phrasebook.
"""
