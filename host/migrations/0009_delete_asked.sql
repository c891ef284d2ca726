-- A person may say that the record that is still there goes as well: the next run moves it to the bin, if nobody has edited it since.
ALTER TABLE link ADD COLUMN delete_asked BIGINT NOT NULL DEFAULT 0 CHECK (delete_asked IN (0, 1));
