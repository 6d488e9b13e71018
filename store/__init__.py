"""Storage: objects, registry, datasets and trust; the contract between training and serving.

Only this package builds S3 keys, and only this package imports boto3 and Delta Lake.
"""
