# Distributions of window scores with the threshold: -e "form='svg'; out='DIR'; threshold=T".
if (form eq 'svg') {
    set terminal svg size 960,540 font 'sans,13' background 'white'
} else {
    set terminal pngcairo size 960,540 font 'sans,11'
}
set output out.'/scores.'.form
set title 'Raw ADD score of windows of 16 queries'
set xlabel 'score (logarithmic)'
set ylabel 'share of windows'
set logscale x
set xtics (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 70, 100, 200, 300, 500, 1000, 2000, 5000)
set key outside right top
set grid back linecolor rgb '#dddddd'
file = out.'/histogram.tsv'
columns = system("head -n 1 ".file." | wc -w") + 0
set arrow from threshold, graph 0 to threshold, graph 1 nohead linewidth 2 dashtype 2 linecolor rgb 'black'
set label sprintf('threshold %.2f', threshold) at threshold, graph 0.96 offset 0.6,0
name(i) = system(sprintf("head -n 1 %s | cut -f %d | tr _ ' '", file, i))
plot for [i=2:columns] file using 1:i skip 1 with filledcurves y1=0 fill transparent solid 0.35 title name(i)
