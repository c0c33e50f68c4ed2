"""Data that ships with touchworth.

online_shoppers.csv.gz: 12,330 real sessions of a shop, 13 binary features and whether the session bought. Made from the
Online Shoppers Purchasing Intention Dataset of C. Okan Sakar and Yomi Kastro (UCI Machine Learning Repository, 2018),
licensed CC BY 4.0. Changes: counts and categories became features that are 0 or 1 (administrative, informational and
special_day: above 0; many_products: 20 product pages and more; long_products: 600 seconds and more on them; visitor,
month and traffic types: equal to).
"""
