-- Perceptual hashes of the six orientations beside an image and its mirror image; NULL for what was decoded before.
alter table media add column phash_turned ubigint[];
