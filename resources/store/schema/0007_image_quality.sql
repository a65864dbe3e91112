-- What the decode pass measured on every content that could be decoded; NULL where an image cannot say.
create table quality_statistics (
    content_hash varchar primary key, mean double, minimum double, maximum double, standard_deviation double,
    percentile_1 double, percentile_5 double, percentile_25 double, percentile_50 double, percentile_75 double,
    percentile_95 double, percentile_99 double, rms_contrast double, entropy double, brightness double,
    brightness_1 double, brightness_5 double, brightness_25 double, brightness_50 double, brightness_75 double,
    brightness_95 double, brightness_99 double, white_share double, clipped_share double, black_share double,
    hue double, saturation double, value double, red double, green double, blue double, colorfulness double,
    channel_difference double, channel_difference_99 double, unique_colors double, structure double,
    edge_density double, laplacian_variance double, edge_width double, noise double, chroma_noise double,
    noise_texture double, aspect_ratio double, megapixels double, bits_per_pixel double, jpeg_quality double,
    changed bigint not null
);
-- What the rules flag, by these statistics and the thresholds of the dataset.
create table quality_issues (
    sample_id varchar, issue varchar, score double not null, is_issue boolean not null, measure double not null,
    changed bigint not null, primary key (sample_id, issue)
);
