"""The most bytes that an object of each kind may have: more is never read into memory.

Files of a version are limited by their sizes in its manifest instead, and delivered files by those
in their arrival.
"""

# A decision, an alias record, a score: some kilobytes. Findings of a wide table are the longest.
RECORD_BYTES = 4_000_000
# With the vocabularies of all columns, every measurement and every finding.
MANIFEST_BYTES = 16_000_000
# One file of a version, where no signed manifest says how long it is.
VERSION_FILE_BYTES = 2_000_000_000
# An envelope has the whole manifest in it, in base64, which is a third longer.
SIGNATURE_BYTES = MANIFEST_BYTES * 4 // 3 + 10_000
# One line of some 200 bytes a file: a folder of some hundred thousand pictures.
ARRIVAL_BYTES = 64_000_000
# One delivered file, or one piece of it.
LANDED_FILE_BYTES = 1_000_000_000
# One commit to a table, which names the files that it adds.
COMMIT_BYTES = 64_000_000
