"""What is learned on each snapshot before a network is: vocabularies, pieces of texts, statistics.

A `Learner` turns an input's published values in the training rows, and its declaration, into the
declaration that the candidate has. It must depend on the values alone and not on their order.
"""

from overnight.models.learned.statistics import Borders, MeanAndDeviation
from overnight.models.learned.vocabularies import Vocabulary, Words
from overnight.models.learned.word_pieces import WordPieces
from overnight.models.learner import Learner, learn

__all__ = [
    "Borders",
    "Learner",
    "MeanAndDeviation",
    "Vocabulary",
    "WordPieces",
    "Words",
    "learn",
]
