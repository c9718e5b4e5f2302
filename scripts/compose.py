def phrasebook(schema, lexicon): raise NotImplementedError
