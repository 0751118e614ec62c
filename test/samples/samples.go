// Package samples has page images with their true texts, and measures how much of a
// page's text was read wrongly. The same functions serve for a folder of your own pages.
//
// A folder of pages holds images and, beside them, their true texts: the truth of an image
// is the text file with the longest name that the image's name begins with, extensions
// aside. So the truth of scan.150.jpg and scan.300.tif is scan.txt, as long as there is no
// scan.150.txt.
package samples

//go:generate go run ./make -o pages

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed pages
var embedded embed.FS

// Pages returns the project's own pages: images and true texts, in one flat folder.
func Pages() fs.FS {
	pages, err := fs.Sub(embedded, "pages")
	if err != nil {
		// Sub refuses invalid paths only.
		panic(err)
	}
	return pages
}

// imageExtensions are the formats in which the worker takes page images.
var imageExtensions = []string{".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"}

// Images returns the names of the page images in the top folder of fsys, sorted. An image
// is told by its extension, in upper or lower case; whether it has a true text, [Truth] says.
func Images(fsys fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("list page images: %w", err)
	}
	var images []string
	for _, entry := range entries {
		ext := strings.ToLower(path.Ext(entry.Name()))
		if !entry.IsDir() && slices.Contains(imageExtensions, ext) {
			images = append(images, entry.Name())
		}
	}
	return images, nil
}
