"""What is kept, and the contract between training and serving.

Only here are S3 keys formed, and only here are boto3 and Delta Lake imported.
"""
