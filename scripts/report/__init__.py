"""Pages and cards that people read: the data report, the report of a model, its model card. They say what others have counted."""
